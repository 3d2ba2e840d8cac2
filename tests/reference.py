"""What adapter files mean, in float64 and as slowly as can be read: what the engine is judged by.

`weight_with` is W' of one module from W and the module's tensors, named as in the file behind the module's name. The
formulas are those of the libraries that define the formats: PEFT for LoRA, DoRA and what only PEFT writes, LyCORIS for
the others.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

File = Mapping[str, Tensor]


@dataclass(frozen=True)
class Part:
    """One module's tensors in one file of a stack."""

    tensors: File
    strength: float = 1.0
    alpha: float | None = None
    """From a configuration beside the file; else it stands among the tensors, or is the rank."""
    config: Mapping[str, Any] = field(default_factory=dict)
    """PEFT's, where the tensors mean nothing without it."""


def weight_with(weight: Tensor, stack: Sequence[Part]) -> Tensor:
    """W' = W + sum of s_i · dW_i; a DoRA comes first, alone, and sets the lengths of what it moved."""
    dora = [part for part in stack if magnitude(part.tensors) is not None]
    others = [part for part in stack if magnitude(part.tensors) is None]
    assert len(dora) <= 1
    out = weight.double()
    for part in dora:
        out = stretched(out + part.strength * delta(part, weight.shape), part.tensors)
    for part in others:
        out = out + part.strength * change(part, weight)
    return out


def change(part: Part, weight: Tensor) -> Tensor:
    """dW of one file, which may depend on the base's W."""
    t = {name: value.double() for name, value in part.tensors.items()}
    base = weight.double()
    if "a1.weight" in t:
        rank = t["b2.weight"].shape[0]
        mix = t["a1.weight"].flatten(1) @ t["a2.weight"].flatten(1)
        mixed = torch.stack([base[:, i] for i in range(base.shape[1])], dim=-1) @ mix
        added = (t["b1.weight"].flatten(1) @ t["b2.weight"].flatten(1)).reshape(base.shape)
        return (mixed.movedim(-1, 1) + added) * (float(t.get("alpha", rank)) / rank)
    if "ia3_l" in t:
        factors = t["ia3_l"].reshape(*t["ia3_l"].shape, *(1 for _ in base.shape[2:]))
        return base * factors - base
    if "oft_blocks" in t:
        turned = (rotation(t) @ base.flatten(1)).reshape(base.shape)
        return turned * t.get("rescale", torch.ones(())) - base
    if "oft_R.weight" in t:
        return (base.flatten(1) @ rotation_of_inputs(t, base[0].numel(), part.config).T).reshape(base.shape) - base
    if "boft_R" in t:
        turned = base.flatten(1) @ butterfly_of_inputs(t["boft_R"]).T
        return (t["boft_s"].reshape(-1, 1) * turned).reshape(base.shape) - base
    return delta(part, weight.shape)


def butterfly_of_inputs(stages: Tensor) -> Tensor:
    """The whole matrix that PEFT's BOFT multiplies inputs, as columns, with."""
    _, count, size, _ = stages.shape
    whole = torch.eye(count * size, dtype=torch.float64)
    for stage, blocks in enumerate(stages):
        skew = (blocks - blocks.transpose(-1, -2)) / 2
        eye = torch.eye(size, dtype=torch.float64)
        turned = block_diagonal((eye - skew) @ torch.linalg.inv(eye + skew))
        if stage:
            # Of each 2 * 2^stage halves of blocks in a row, one of the first and one of the second 2^stage are a block.
            halves = torch.arange(count * size).reshape(-1, 2, 2**stage, size // 2)
            order = [int(i) for run in halves for k in range(2**stage) for i in (*run[0, k], *run[1, k])]
            shuffled = torch.eye(count * size, dtype=torch.float64)[order]
            turned = shuffled.T @ turned @ shuffled
        whole = turned @ whole
    return whole


def rotation_of_inputs(t: File, inputs: int, config: Mapping[str, Any]) -> Tensor:
    """The whole matrix that PEFT's OFT multiplies inputs, as rows, with."""
    blocks = []
    for numbers in t["oft_R.weight"]:
        size = next(n for n in range(2, inputs + 1) if n * (n - 1) == 2 * len(numbers))
        skew = torch.zeros(size, size, dtype=torch.float64)
        places = [(i, j) for i in range(size) for j in range(i + 1, size)]
        for (i, j), number in zip(places, numbers, strict=True):
            skew[i, j], skew[j, i] = number, -number
        bound = config["eps"] / len(t["oft_R.weight"]) ** 0.5
        if config["coft"] and float(skew.norm()) > bound:
            skew = skew * bound / skew.norm()
        eye = torch.eye(size, dtype=torch.float64)
        if config["use_cayley_neumann"]:
            # Two terms are I + 2 Q; PEFT makes as many of three as of four. It counts all but the first and last twice.
            last = max(config["num_cayley_neumann_terms"], 4) - 1
            powers = [torch.linalg.matrix_power(skew, n) for n in range(last + 1)]
            whole = eye + 2 * sum(powers[1:last]) + powers[last]
            blocks.append(eye + 2 * skew if config["num_cayley_neumann_terms"] == 2 else whole)
        else:
            blocks.append((eye - skew) @ torch.linalg.inv(eye + skew))
    return block_diagonal(torch.stack(blocks * (inputs // size) if len(blocks) == 1 else blocks))


def rotation(t: File) -> Tensor:
    """The whole matrix that an OFT or a BOFT multiplies a weight with, from the left."""
    blocks = t["oft_blocks"]
    skew = blocks - blocks.transpose(-1, -2)
    *stages, count, size = blocks.shape[:-1]
    bound = float(t["alpha"]) * count * size
    if 0 < bound < float(skew.norm()):
        skew = skew * bound / skew.norm()
    eye = torch.eye(size, dtype=torch.float64)
    each = (eye + skew) @ torch.linalg.inv(eye - skew)
    if not stages:
        return block_diagonal(each).T
    whole = torch.eye(count * size, dtype=torch.float64)
    for stage, rotations in enumerate(each):
        # The rows of a stage's blocks, in the order that LyCORIS takes them in.
        distance = 2**stage * size // 2
        order = torch.arange(count * size).reshape(-1, 2, distance).transpose(1, 2).flatten()
        shuffled = torch.eye(count * size, dtype=torch.float64)[order]
        whole = shuffled.T @ block_diagonal(rotations) @ shuffled @ whole
    return whole


def block_diagonal(blocks: Tensor) -> Tensor:
    count, size, _ = blocks.shape
    whole = torch.zeros(count * size, count * size, dtype=blocks.dtype)
    for i, block in enumerate(blocks):
        whole[i * size : (i + 1) * size, i * size : (i + 1) * size] = block
    return whole


def delta(part: Part, shape: Sequence[int]) -> Tensor:
    """dW of one file, alpha / rank included."""
    t = {name: value.double() for name, value in part.tensors.items()}
    if "hada_w1_a" in t:
        product = loha_half(t, 1) * loha_half(t, 2)
        rank: int | None = t["hada_w1_b"].shape[0]
    elif any(name.startswith("lokr") for name in t):
        product, rank = kronecker(t)
    elif "vera_lambda_b" in t:
        down = torch.diag(t["vera_lambda_d"]) @ t["vera_A"][:, : shape[1]]
        product, rank = torch.diag(t["vera_lambda_b"]) @ t["vera_B"][: shape[0]] @ down, None
    else:
        product, rank = low_rank(t)
    alpha = part.alpha if part.alpha is not None else t.get("alpha")
    scale = 1.0 if alpha is None or rank is None else float(alpha) / rank
    return product.reshape(tuple(shape)) * scale


def low_rank(t: File) -> tuple[Tensor, int]:
    down = t.get("lora_down.weight", t.get("lora_A.weight"))
    up = t.get("lora_up.weight", t.get("lora_B.weight"))
    assert down is not None
    assert up is not None
    rank = down.shape[0]
    if "lora_mid.weight" in t:
        made = torch.einsum("or,rshw,si->oihw", up.flatten(1), t["lora_mid.weight"], down.flatten(1))
        return made, rank
    return up.flatten(1) @ down.flatten(1), rank


def loha_half(t: File, which: int) -> Tensor:
    a, b = t[f"hada_w{which}_a"], t[f"hada_w{which}_b"]
    if f"hada_t{which}" not in t:
        return a @ b
    return torch.einsum("ijhw,io,jn->onhw", t[f"hada_t{which}"], a, b)


def kronecker(t: File) -> tuple[Tensor, int | None]:
    first = t["lokr_w1"] if "lokr_w1" in t else t["lokr_w1_a"] @ t["lokr_w1_b"]
    if "lokr_w2" in t:
        second = t["lokr_w2"]
    elif "lokr_t2" in t:
        second = torch.einsum("ijhw,io,jn->onhw", t["lokr_t2"], t["lokr_w2_a"], t["lokr_w2_b"])
    else:
        second = t["lokr_w2_a"] @ t["lokr_w2_b"]
    # Element by element, as the product is defined: block (a, c) of it is first[a, c] times all of second.
    rows = [torch.cat([entry * second for entry in row], dim=1) for row in first]
    ranks = [t[name].shape[0] for name in ("lokr_w1_b", "lokr_w2_b") if name in t]
    return torch.cat(rows), ranks[0] if ranks else None


def magnitude(t: File) -> Tensor | None:
    names = ("dora_scale", "lora_magnitude_vector", "lora_magnitude_vector.weight")
    return next((t[name].double() for name in names if name in t), None)


def stretched(moved: Tensor, t: File) -> Tensor:
    """m · V / |V|: along each output, or for a `dora_scale` of one row along each input."""
    m = magnitude(t)
    assert m is not None
    of_inputs = "dora_scale" in t and tuple(m.shape[:2]) == (1, moved.shape[1])
    rows = moved.transpose(0, 1) if of_inputs else moved
    lengths = rows.flatten(1).norm(dim=1)
    out: Tensor = rows * (m.flatten() / lengths).reshape(-1, *(1,) * (rows.dim() - 1))
    return out.transpose(0, 1) if of_inputs else out
