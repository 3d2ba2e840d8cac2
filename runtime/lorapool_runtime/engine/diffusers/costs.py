"""Merged or unmerged: what each costs on this device, measured once, and the choice for one run."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import torch

from lorapool_api.facts import Network
from lorapool_runtime.layers.change import Change, merged
from lorapool_runtime.layers.place import Place
from lorapool_runtime.layers.switchboard import Loaded

_RANK: Final = 16
_FEW, _MANY = 16, 1024
_TIMES: Final = 5


@dataclass(frozen=True)
class Costs:
    """Seconds on this device.

    Attributes:
        branch_s: one low-rank pair in one forward, however small: its launches.
        product_s: one more multiplication of a low-rank pair.
        merge_s: one element of a merged weight.
    """

    branch_s: float
    product_s: float
    merge_s: float


@dataclass(frozen=True)
class Work:
    """What a stack is, for the costs of one picture position.

    Attributes:
        branches: low-rank pairs.
        products: multiplications of all pairs for one position of their inputs.
        elements: of the weights that a merge would write.
    """

    branches: int
    products: int
    elements: int


def work_of(stack: tuple[tuple[Loaded, float], ...]) -> Work:
    """The stack's low-rank pairs; what can only be merged is merged either way and does not count."""
    pairs = [c for loaded, _ in stack for c in loaded.changes if not c.must_merge]
    weights = {id(c.place.module): c.place.module.weight.numel() for c in pairs}
    products = sum(c.parts["down"].numel() + c.parts["up"].numel() for c in pairs)
    return Work(len(pairs), products, sum(weights.values()))


def prefers_merging(costs: Costs, work: Work, forwards: int, positions: float) -> bool:
    """Whether merging once is cheaper than adding at every forward.

    Args:
        forwards: of the denoiser in all, over every picture that is wanted with this stack.
        positions: of a module's input in one forward, on average.
    """
    adding_s = forwards * (work.branches * costs.branch_s + work.products * positions * costs.product_s)
    return work.elements * costs.merge_s < adding_s


@torch.inference_mode()
def measure(place: Place) -> Costs:
    """Time a low-rank pair and a merge in one Linear of the base; a fraction of a second."""
    outputs, inputs = place.shape
    weight = place.module.weight
    linear = torch.nn.functional.linear

    def random(*shape: int) -> torch.Tensor:
        return weight.new_empty(shape).normal_()

    down, up = random(_RANK, inputs), random(outputs, _RANK)

    def pair(count: int) -> float:
        x, out = random(count, inputs), random(count, outputs)
        return _median_s(lambda: out.add_(linear(linear(x, down), up), alpha=0.5), weight.device)

    few_s, many_s = pair(_FEW), pair(_MANY)
    products = (_MANY - _FEW) * _RANK * (inputs + outputs)
    shadow = torch.empty_like(weight)
    change = Change(place, Network.LORA, {"down": down, "up": up}, 1.0)
    merge_s = _median_s(lambda: shadow.copy_(merged(weight, [(change, 1.0)])), weight.device)
    return Costs(few_s, max(many_s - few_s, 0.0) / products, merge_s / weight.numel())


def _median_s(work: Callable[[], object], device: torch.device) -> float:
    times = []
    for _ in range(_TIMES + 1):
        start = time.perf_counter()
        work()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        times.append(time.perf_counter() - start)
    return sorted(times[1:])[_TIMES // 2]  # the first one warms up
