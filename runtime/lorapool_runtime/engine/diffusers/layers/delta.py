"""What an adapter makes of one weight, by kind of network, in float32 and out of place.

LoRA and LoCon (arXiv:2106.09685): dW = B A. DoRA (arXiv:2402.09353): W' = m (W + s dW) / |W + s dW|. LoHa and LoKr
(arXiv:2309.14859): dW = (B1 A1) * (B2 A2) element by element, and dW = C (x) B A, the Kronecker product. A full
difference (LyCORIS): dW itself. What depends on W is in `layers.of_the_weight`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch

from lorapool_api.lora.layouts.mmdit import RowRanges
from lorapool_api.lora.networks import OF_THE_WEIGHT, Network
from lorapool_runtime.engine.diffusers.layers.of_the_weight import change_of, change_of_bias
from lorapool_runtime.engine.diffusers.layers.target import TargetModule

Parts = Mapping[str, torch.Tensor]
_MAGNITUDES = frozenset({"magnitude", "magnitude_in"})
_LOW_RANK = frozenset({Network.LORA, Network.DORA})


@dataclass(frozen=True)
class ModuleDelta:
    """What an adapter's file says about one module.

    Attributes:
        network: how `parts` make dW; a DoRA's do as a LoRA's.
        parts: tensors by the names of `lorapool_api.lora.layouts.keys`, in the shapes of `weights.parts`. DoRA's is
            `magnitude`, (out, 1, ...), or `magnitude_in`, (1, in, 1, ...), of the weight's number of dimensions.
            `diff_b`, (out,), is the difference of a bias.
        scale: alpha / rank.
        rows: of what `parts` make, those that are this module's: the file changes a module that the base has in
            pieces. (): all of them.
    """

    target: TargetModule
    network: Network
    parts: Parts
    scale: float
    rows: RowRanges = ()

    @property
    def device(self) -> torch.device:
        """Where its tensors are."""
        return next(iter(self.parts.values())).device

    @property
    def has_magnitude(self) -> bool:
        return bool(_MAGNITUDES & self.parts.keys())

    @property
    def must_merge(self) -> bool:
        """Whether the base's output and one low-rank pair cannot say it."""
        return self.network not in _LOW_RANK or not self.parts.keys().isdisjoint({"magnitude_in", "diff_b"})

    @property
    def mixes(self) -> bool:
        """Whether it can be had for some rows of a batch only. Not DoRA: its ratio would round the other rows."""
        return not self.must_merge and not self.has_magnitude


def merge_into(out: torch.Tensor, weight: torch.Tensor, deltas: Sequence[tuple[ModuleDelta, float]]) -> None:
    """out = W', rounded once to the dtype of both; each delta comes with its strength.

    A stack of LoRAs is one low-rank pair, and that is one product, which reads W and writes W' as they are: matrix
    products of half precision add up in float32 and round at their end, on CUDA and on CPUs alike
    (`tests/unit/runtime/engine/test_launches.py` and `tests/gpu/test_exact.py` compare it with float64). All else is
    computed in float32 beside them.

    Raises: torch.OutOfMemoryError: no room for W' in float32.
    """
    pair = _one_pair(weight.dtype, deltas) if weight.is_contiguous() and out.is_contiguous() else None
    if pair is None:
        out.copy_(merged(weight, deltas))
        return
    up, down, scale = pair
    torch.addmm(weight.flatten(1), up, down, alpha=scale, out=out.flatten(1))


def _one_pair(
    dtype: torch.dtype, deltas: Sequence[tuple[ModuleDelta, float]]
) -> tuple[torch.Tensor, torch.Tensor, float] | None:
    """(up, down, s) where W' is W + s · up down, as matrices of the weight's dtype; None where it is more than that.

    The pairs of a stack stand side by side. A strength that is not s goes into `up`, which then is two in half
    precision, one with what the other cannot hold: their sum has twice the digits.
    """
    ups, downs, scales = [], [], []
    for delta, strength in deltas:
        up, down = delta.parts.get("up"), delta.parts.get("down")
        if delta.network is not Network.LORA or up is None or down is None or {up.dtype, down.dtype} != {dtype}:
            return None
        ups.append(up.flatten(1))
        downs.append(down.flatten(1))
        scales.append(strength * delta.scale)
    if len(ups) == 1:
        return ups[0], downs[0], scales[0]
    scale, both = max(scales, key=abs), torch.cat(ups, dim=1)
    if all(other == scale for other in scales):
        return both, torch.cat(downs), scale
    exact, ranks = both.float(), both.shape[1]
    for part, other in zip(torch.split_with_sizes(exact, [up.shape[1] for up in ups], dim=1), scales, strict=True):
        part.mul_(other / scale)
    if dtype is torch.float32:
        return exact, torch.cat(downs), scale
    halves = both.new_empty(len(both), 2 * ranks)
    halves[:, :ranks] = exact
    torch.sub(exact, halves[:, :ranks], out=halves[:, ranks:])
    return halves, torch.cat([*downs, *downs]), scale


def merged(weight: torch.Tensor, deltas: Sequence[tuple[ModuleDelta, float]]) -> torch.Tensor:
    """W' in float32; each delta comes with its strength. The one with a magnitude comes first, whatever the order."""
    out = weight.to(torch.float32, memory_format=torch.contiguous_format, copy=True)
    for delta, strength in sorted(deltas, key=lambda c: not c[0].has_magnitude):
        if delta.network in OF_THE_WEIGHT:
            out.add_(change_of(weight.float(), delta.network, delta.parts), alpha=strength * delta.scale)
            continue
        add_delta(out, delta, strength)
        if delta.has_magnitude:
            out *= magnitude_ratio(delta, out)
    return out


def merged_bias(bias: torch.Tensor | None, deltas: Sequence[tuple[ModuleDelta, float]]) -> torch.Tensor | None:
    """b' = b + sum of s · db in the bias's dtype, computed in float32; None where nothing changes it."""
    if bias is None:
        return None
    moved = [(delta.parts["diff_b"], strength) for delta, strength in deltas if "diff_b" in delta.parts]
    for delta, strength in deltas:
        if (change := change_of_bias(bias, delta.network, delta.parts)) is not None:
            moved.append((change, strength))
    if not moved:
        return None
    return (bias.to(moved[0][0].device).float() + sum(strength * part.float() for part, strength in moved)).to(
        bias.dtype
    )


def add_delta(out: torch.Tensor, delta: ModuleDelta, strength: float) -> None:
    """out += strength · scale · dW. Raises: ValueError for a network that has no dW."""
    scale = strength * delta.scale
    parts = {name: part.float() for name, part in delta.parts.items()}
    match delta.network:
        case Network.LORA | Network.DORA:
            out.flatten(1).addmm_(parts["up"].flatten(1), parts["down"].flatten(1), alpha=scale)
        case Network.LOHA:
            out.add_((_loha_half(parts, "1") * _loha_half(parts, "2")).view(out.shape), alpha=scale)
        case Network.LOKR:
            first = _product(parts, "lokr_w1")
            made = torch.kron(first.contiguous(), _second(parts).contiguous())
            out.add_(take_rows(made, delta.rows).view(out.shape), alpha=scale)
        case Network.VERA:
            out.flatten(1).addmm_(*_vera(parts, out.shape[0], out.shape[1]), alpha=scale)
        case Network.FULL:
            out.add_(parts["diff"].view(out.shape), alpha=scale)
        case _:
            raise ValueError(f"no dW of {delta.network}")


def magnitude_ratio(delta: ModuleDelta, moved: torch.Tensor) -> torch.Tensor:
    """DoRA's m / |W + s dW|, in the magnitude's shape, from W + s dW in float32."""
    (name,) = _MAGNITUDES & delta.parts.keys()
    kept = 0 if name == "magnitude" else 1
    over = tuple(d for d in range(moved.dim()) if d != kept)
    lengths: torch.Tensor = torch.linalg.vector_norm(moved, dim=over, keepdim=True)
    return delta.parts[name].float() / lengths


def take_rows(tensor: torch.Tensor, rows: RowRanges, dim: int = 0) -> torch.Tensor:
    """These rows, one range below the other; () means all."""
    if not rows:
        return tensor
    return torch.cat([tensor.narrow(dim, begin, end - begin) for begin, end in rows], dim=dim)


def _vera(parts: Parts, outputs: int, inputs: int) -> tuple[torch.Tensor, torch.Tensor]:
    """(up, down): the module's share of the projections of all modules (arXiv:2310.11454), times its factors."""
    up = parts["vera_lambda_b"][:, None] * parts["vera_b"][:outputs]
    return up, parts["vera_lambda_d"][:, None] * parts["vera_a"][:, :inputs]


def _loha_half(parts: Parts, which: str) -> torch.Tensor:
    a, b = parts[f"hada_w{which}_a"], parts[f"hada_w{which}_b"]
    core = parts.get(f"hada_t{which}")
    return a @ b if core is None else _tucker(core, a, b)


def _second(parts: Parts) -> torch.Tensor:
    """LoKr's second factor as a matrix: a kernel goes into its columns."""
    if "lokr_t2" in parts:
        return _tucker(parts["lokr_t2"], parts["lokr_w2_a"], parts["lokr_w2_b"]).flatten(1)
    return _product(parts, "lokr_w2").flatten(1)


def _product(parts: Parts, name: str) -> torch.Tensor:
    return parts[name] if name in parts else parts[f"{name}_a"] @ parts[f"{name}_b"]


def _tucker(core: torch.Tensor, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """A core (rank, rank, height, width) between (rank, out) and (rank, in): (out, in, height, width)."""
    return torch.einsum("ijkl,ip,jr->prkl", core, a, b)
