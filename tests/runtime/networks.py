"""Random tensors of one module, for every kind of network and layout of its parts, by the names in a file."""

from collections.abc import Callable
from math import prod
from typing import Final

import torch
from torch import Tensor

from lorapool_api.kinds.adapter import AdapterFormat
from lorapool_api.lora.facts import AdapterFacts
from lorapool_api.lora.fit import Modules, check_fits
from lorapool_api.lora.layouts.keys import PARTS
from lorapool_api.lora.modules import FileModule, PartInfo, file_layout, file_module

Shape = tuple[int, ...]
Made = dict[str, Tensor]


def judged(module: str, tensors: "Made", base: Modules) -> FileModule:
    """A UNet's module as a file with these tensors names it. Raises: FactsError where it does not fit the base."""
    parts = sorted(PartInfo(PARTS[name], "F32", tuple(tensor.shape)) for name, tensor in tensors.items())
    found = file_module("unet", module, tuple(parts))
    check_fits(AdapterFacts(AdapterFormat.KOHYA, file_layout((found,), ()), 0), base)
    return found


def lora(shape: Shape, rank: int, dice: torch.Generator) -> Made:
    kernel = shape[2:]
    ones = (1,) * len(kernel)
    return {
        "lora_down.weight": _random((rank, shape[1], *kernel), dice),
        "lora_up.weight": _random((shape[0], rank, *ones), dice),
        "alpha": torch.tensor(0.75 * rank),
    }


def locon_mid(shape: Shape, rank: int, dice: torch.Generator) -> Made:
    if len(shape) == 2:
        return lora(shape, rank, dice)
    return {
        "lora_down.weight": _random((rank, shape[1], 1, 1), dice),
        "lora_mid.weight": _random((rank, rank, *shape[2:]), dice),
        "lora_up.weight": _random((shape[0], rank, 1, 1), dice),
    }


def dora(shape: Shape, rank: int, dice: torch.Generator) -> Made:
    """As LyCORIS writes it: a length for each output."""
    ones = (1,) * (len(shape) - 1)
    return lora(shape, rank, dice) | {"dora_scale": _random((shape[0], *ones), dice).abs() + 0.5}


def dora_of_inputs(shape: Shape, rank: int, dice: torch.Generator) -> Made:
    ones = (1,) * (len(shape) - 2)
    return lora(shape, rank, dice) | {"dora_scale": _random((1, shape[1], *ones), dice).abs() + 0.5}


def loha(shape: Shape, rank: int, dice: torch.Generator) -> Made:
    halves = {f"hada_w{i}_a": _random((shape[0], rank), dice) for i in (1, 2)}
    return halves | {f"hada_w{i}_b": _random((rank, prod(shape[1:])), dice) for i in (1, 2)} | _alpha(rank)


def loha_core(shape: Shape, rank: int, dice: torch.Generator) -> Made:
    if len(shape) == 2:
        return loha(shape, rank, dice)
    made: Made = {}
    for i in (1, 2):
        made[f"hada_t{i}"] = _random((rank, rank, *shape[2:]), dice)
        made[f"hada_w{i}_a"] = _random((rank, shape[0]), dice)
        made[f"hada_w{i}_b"] = _random((rank, shape[1]), dice)
    return made | _alpha(rank)


def loha_dora(shape: Shape, rank: int, dice: torch.Generator) -> Made:
    """LyCORIS can set the lengths of any of its networks."""
    ones = (1,) * (len(shape) - 1)
    return loha(shape, rank, dice) | {"dora_scale": _random((shape[0], *ones), dice).abs() + 0.5}


def lokr(shape: Shape, rank: int, dice: torch.Generator) -> Made:
    """A small full factor and a low-rank one."""
    (a, b), (c, d) = _split(shape[0]), _split(shape[1])
    return {
        "lokr_w1": _random((a, c), dice),
        "lokr_w2_a": _random((b, rank), dice),
        "lokr_w2_b": _random((rank, d * prod(shape[2:])), dice),
    } | _alpha(rank)


def lokr_both(shape: Shape, rank: int, dice: torch.Generator) -> Made:
    (a, b), (c, d) = _split(shape[0]), _split(shape[1])
    return {
        "lokr_w1_a": _random((a, rank), dice),
        "lokr_w1_b": _random((rank, c), dice),
        "lokr_w2_a": _random((b, rank), dice),
        "lokr_w2_b": _random((rank, d * prod(shape[2:])), dice),
    } | _alpha(rank)


def lokr_full(shape: Shape, rank: int, dice: torch.Generator) -> Made:
    """Two full factors: their alpha means nothing."""
    (a, b), (c, d) = _split(shape[0]), _split(shape[1])
    return {"lokr_w1": _random((a, c), dice), "lokr_w2": _random((b, d, *shape[2:]), dice)} | _alpha(99)


def lokr_core(shape: Shape, rank: int, dice: torch.Generator) -> Made:
    if len(shape) == 2:
        return lokr(shape, rank, dice)
    (a, b), (c, d) = _split(shape[0]), _split(shape[1])
    return {
        "lokr_w1": _random((a, c), dice),
        "lokr_w2_a": _random((rank, b), dice),
        "lokr_w2_b": _random((rank, d), dice),
        "lokr_t2": _random((rank, rank, *shape[2:]), dice),
    } | _alpha(rank)


def glora(shape: Shape, rank: int, dice: torch.Generator) -> Made:
    kernel, ones = shape[2:], (1,) * (len(shape) - 2)
    return {
        "a1.weight": _random((shape[1], rank, *ones), dice),
        "a2.weight": _random((rank, shape[1], *ones), dice),
        "b1.weight": _random((shape[0], rank, *ones), dice),
        "b2.weight": _random((rank, shape[1], *kernel), dice),
    } | _alpha(rank)


def oft(shape: Shape, rank: int, dice: torch.Generator) -> Made:
    """Blocks as large as the outputs allow, up to that rank; alpha of 0 bounds nothing."""
    size = max(n for n in range(1, rank + 1) if shape[0] % n == 0)
    return {"oft_blocks": _random((shape[0] // size, size, size), dice), "alpha": torch.tensor(0.0)}


def oft_bounded(shape: Shape, rank: int, dice: torch.Generator) -> Made:
    """Its alpha makes the rotation smaller, and its rows are rescaled."""
    lengths = 1 + _random((shape[0], *(1 for _ in shape[1:])), dice)
    return oft(shape, rank, dice) | {"rescale": lengths, "alpha": torch.tensor(0.02)}


def boft(shape: Shape, rank: int, dice: torch.Generator) -> Made:
    """Blocks of two rows, in as many stages as there can be."""
    if shape[0] % 2:
        return oft(shape, rank, dice)
    count = shape[0] // 2
    stages = (count & -count).bit_length()
    return {"oft_blocks": _random((stages, count, 2, 2), dice), "alpha": torch.tensor(0.0)}


ROTATIONS: Final = frozenset({"oft", "oft_bounded", "boft"})
"""Those that say nothing of a weight's inputs."""
MAKERS: dict[str, Callable[[Shape, int, torch.Generator], Made]] = {
    made.__name__: made
    for made in (
        lora, locon_mid, dora, dora_of_inputs, loha, loha_core, loha_dora, lokr, lokr_both, lokr_full, lokr_core,
        glora, oft, oft_bounded, boft,
    )
}  # fmt: skip


def _alpha(rank: int) -> Made:
    return {"alpha": torch.tensor(1.5 * rank)}


def _split(size: int) -> tuple[int, int]:
    """Two factors, the first the smaller one, as near to each other as can be."""
    first = max(n for n in range(1, int(size**0.5) + 1) if size % n == 0)
    return first, size // first


def _random(shape: Shape, dice: torch.Generator) -> Tensor:
    return torch.randn(shape, generator=dice) * 0.3
