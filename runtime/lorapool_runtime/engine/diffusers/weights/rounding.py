"""How much of an adapter's change the type of the base's weights cannot hold."""

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final

import torch

from lorapool_api.lora.networks import OF_THE_WEIGHT
from lorapool_runtime.engine.contract import Stop
from lorapool_runtime.engine.diffusers.layers.delta import ModuleDelta, add_delta, merged
from lorapool_runtime.engine.diffusers.packed.weights import plain
from lorapool_runtime.errors import Stopped

# A file changes up to a few thousand modules, and those of a kind round alike. So many are looked at, evenly over the
# file, and no longer than that: on a device it takes less, on a CPU somebody waits for its cores.
MOST_MODULES: Final = 64
MOST_S: Final = 2.0


def merge_loss(
    deltas: Sequence[ModuleDelta],
    stop: Stop,
    most_modules: int = MOST_MODULES,
    most_s: float = MOST_S,
    clock: Callable[[], float] = time.monotonic,
) -> float | None:
    """The share of the adapter's change that is lost when it is merged at strength 1 into weights of the base's type.

    With W a weight of the base in its own type and dW what the adapter adds to it as it was trained (with alpha / rank,
    at strength 1): the sum of dW² over the elements for which W + dW, rounded to that type, is W again, divided by that
    over all elements. Sums go over the modules that are looked at; biases do not count. 0 is lossless, 1 means that a
    merged picture would be the base's. Unmerged nothing of it is lost.

    Args:
        deltas: what the adapter changes; their tensors may lie in host memory, each is copied by itself.
        stop: asked between two modules.

    Returns:
        From 0 to 1; None where the adapter changes no weight at all, or the device has no room to tell.

    Raises:
        Stopped: as `stop` says.
    """
    end_s, lost, whole = clock() + most_s, 0.0, 0.0
    for delta in deltas[:: max(1, -(-len(deltas) // most_modules))]:
        if stop():
            raise Stopped
        try:
            of_module = _norms(delta)
        except torch.OutOfMemoryError:
            return None
        lost, whole = lost + of_module[0], whole + of_module[1]
        if clock() >= end_s:
            break
    return lost / whole if whole > 0 else None


@torch.inference_mode()
def _norms(delta: ModuleDelta) -> tuple[float, float]:
    """(the squared norm of what rounding loses, that of the whole change) of one module."""
    weight = plain(delta.target.module.weight)
    there = replace(delta, parts={name: part.to(weight.device) for name, part in delta.parts.items()})
    base = weight.to(torch.float32, memory_format=torch.contiguous_format, copy=True)
    if there.has_magnitude or there.network in OF_THE_WEIGHT:
        moved = merged(weight, [(there, 1.0)])
        change = moved - base
    else:
        change = torch.zeros_like(base)
        add_delta(change, there, 1.0)
        moved = base + change
    squares = change.square().double()
    lost = squares.masked_fill(moved.to(weight.dtype) != weight, 0.0).sum()
    return float(lost), float(squares.sum())
