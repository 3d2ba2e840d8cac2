"""The tensors of one module, checked against that module and brought into the shapes that `layers.change` takes."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import prod
from typing import Final, Protocol

import torch

from lorapool_api.kinds.conditions import Reason
from lorapool_api.lora.facts import Network
from lorapool_runtime.errors import AdapterError

DTYPES: Final = {"F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}
"""Of safetensors' names, those that weights may have."""
ALPHA_DTYPES: Final = {
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U8": torch.uint8,
}
"""And those that an alpha may have beside them."""

Tensors = Mapping[str, torch.Tensor]
Shape = tuple[int, ...]


class Place(Protocol):
    """A weight, by its shape and the name that messages give it: a module of the base, or several that a file fuses."""

    @property
    def shape(self) -> Shape: ...
    @property
    def has_bias(self) -> bool: ...


@dataclass(frozen=True)
class Settled:
    """What a module's tensors say, apart from their scale.

    Attributes:
        rank: what alpha is divided by; None where no part has a rank of its own (a LoKr of two full factors).
    """

    network: Network
    parts: dict[str, torch.Tensor]
    rank: int | None


def settle(place: Place, tensors: Tensors) -> Settled:
    """All tensors of the module but `alpha`, in their places.

    Raises:
        AdapterError: parts that do not fit the module (`BaseModelMismatch`) or each other (`InvalidWeights`), or that
            belong to no one kind of network (`UnsupportedFormat`).
    """
    network = next((n for n, first in _FIRST_PARTS.items() if any(p.startswith(first) for p in tensors)), None)
    if network is None:
        raise AdapterError(Reason.UNSUPPORTED_FORMAT, f"{place} has {', '.join(sorted(tensors))} but no weights")
    settled = _SETTLERS[network](place, tensors)
    more = _magnitude(place, tensors) | _bias(place, tensors)
    used = settled.parts.keys() | more.keys() | {"alpha", "magnitude" if "magnitude" in tensors else "dora_scale"}
    if network is Network.LORA:
        used.add("mid")
    if odd := tensors.keys() - used:
        raise AdapterError(Reason.UNSUPPORTED_FORMAT, f"{place}: {network} does not read {', '.join(sorted(odd))}")
    return Settled(network, settled.parts | more, settled.rank)


def _lora(place: Place, tensors: Tensors) -> Settled:
    down, up = _part(place, tensors, "down"), _part(place, tensors, "up")
    if "mid" in tensors:
        down = _with_mid(down, tensors["mid"], place)
    rank, kernel = down.shape[0], place.shape[2:]
    down = _shaped(place, "down", down, (rank, place.shape[1], *kernel))
    up = _shaped(place, "up", up, (place.shape[0], rank, *(1 for _ in kernel)))
    return Settled(Network.LORA, {"down": down, "up": up}, rank)


def _with_mid(down: torch.Tensor, mid: torch.Tensor, place: Place) -> torch.Tensor:
    """LoCon's three parts as two: a 1 x 1 convolution before a larger one is one larger convolution."""
    rank = down.shape[0]
    if down.shape[2:] not in ((), (1, 1)) or mid.dim() != 4 or mid.shape[:2] != (rank, rank):
        message = f"{place}: down {tuple(down.shape)} and mid {tuple(mid.shape)} do not fit"
        raise AdapterError(Reason.INVALID_WEIGHTS, message)
    # Before the product: a large kernel times many inputs would take more memory than the file is large.
    _shaped(place, "down", down, (rank, place.shape[1], *(1 for _ in place.shape[2:])))
    _shaped(place, "mid", mid, (rank, rank, *_kernel(place)))
    return torch.einsum("rshw,si->rihw", mid.double(), down.flatten(1).double())


def _loha(place: Place, tensors: Tensors) -> Settled:
    out, *into = place.shape
    parts: dict[str, torch.Tensor] = {}
    rank = 0
    for half in ("1", "2"):
        a, b, core = f"hada_w{half}_a", f"hada_w{half}_b", f"hada_t{half}"
        rank = _part(place, tensors, b).shape[0]
        if core in tensors:
            parts[a] = _shaped(place, a, _part(place, tensors, a), (rank, out))
            parts[b] = _shaped(place, b, tensors[b], (rank, into[0]))
            parts[core] = _shaped(place, core, tensors[core], (rank, rank, *_kernel(place)))
        else:
            parts[a] = _shaped(place, a, _part(place, tensors, a), (out, rank))
            parts[b] = _shaped(place, b, tensors[b], (rank, prod(into)))
    return Settled(Network.LOHA, parts, rank)


def _lokr(place: Place, tensors: Tensors) -> Settled:
    first, first_shape, first_rank = _factor(place, tensors, "lokr_w1")
    second, second_shape, second_rank = _factor(place, tensors, "lokr_w2")
    made = (first_shape[0] * second_shape[0], first_shape[1] * second_shape[1])
    if made != (place.shape[0], prod(place.shape[1:])):
        message = f"{place}: the factors make {made[0]} x {made[1]} of a weight of {place.shape}"
        raise AdapterError(Reason.BASE_MODEL_MISMATCH, message)
    return Settled(Network.LOKR, first | second, first_rank or second_rank)


def _full(place: Place, tensors: Tensors) -> Settled:
    return Settled(Network.FULL, {"diff": _shaped(place, "diff", _part(place, tensors, "diff"), place.shape)}, None)


def _factor(place: Place, tensors: Tensors, name: str) -> tuple[dict[str, torch.Tensor], Shape, int | None]:
    """One factor of a Kronecker product: its parts, its shape as a matrix, its rank."""
    if name in tensors:
        whole = tensors[name]
        if whole.dim() not in (2, 4):
            raise AdapterError(Reason.INVALID_WEIGHTS, f"{place}: {name} has {whole.dim()} dimensions")
        return {name: whole}, (whole.shape[0], prod(whole.shape[1:])), None
    a, b, core = (_part(place, tensors, f"{name}_a"), _part(place, tensors, f"{name}_b"), tensors.get("lokr_t2"))
    parts = {f"{name}_a": a, f"{name}_b": b}
    if a.dim() != 2 or b.dim() != 2:
        raise AdapterError(Reason.INVALID_WEIGHTS, f"{place}: the parts of {name} must be matrices")
    rank = b.shape[0]
    if core is None or name == "lokr_w1":
        _shaped(place, f"{name}_a", a, (a.shape[0], rank))
        return parts, (a.shape[0], b.shape[1]), rank
    _shaped(place, f"{name}_a", a, (rank, a.shape[1]))
    parts["lokr_t2"] = _shaped(place, "lokr_t2", core, (rank, rank, *_kernel(place)))
    return parts, (a.shape[1], b.shape[1] * prod(_kernel(place))), rank


def _kernel(place: Place) -> Shape:
    return place.shape[2:] or (1, 1)


def _magnitude(place: Place, tensors: Tensors) -> dict[str, torch.Tensor]:
    """DoRA's lengths. PEFT has one for each output; LyCORIS has a `dora_scale` that may be of the inputs instead."""
    ones = (1,) * (len(place.shape) - 2)
    outputs, inputs = (place.shape[0], 1, *ones), (1, place.shape[1], *ones)
    if "magnitude" in tensors:
        return {"magnitude": _of_size(place, "magnitude", tensors["magnitude"], outputs)}
    if "dora_scale" not in tensors:
        return {}
    scale = tensors["dora_scale"]
    if tuple(scale.shape[:2]) == (1, place.shape[1]):
        return {"magnitude_in": _of_size(place, "dora_scale", scale, inputs)}
    return {"magnitude": _of_size(place, "dora_scale", scale, outputs)}


def _bias(place: Place, tensors: Tensors) -> dict[str, torch.Tensor]:
    if "diff_b" not in tensors:
        return {}
    if not place.has_bias:
        raise AdapterError(Reason.BASE_MODEL_MISMATCH, f"{place} has no bias in the base; the file has its diff_b")
    return {"diff_b": _of_size(place, "diff_b", tensors["diff_b"], (place.shape[0],))}


def _of_size(place: Place, name: str, tensor: torch.Tensor, wanted: Shape) -> torch.Tensor:
    if tensor.numel() != prod(wanted):
        raise _mismatch(place, name, tensor, wanted)
    return tensor.reshape(wanted)


def _part(place: Place, tensors: Tensors, name: str) -> torch.Tensor:
    if name not in tensors:
        raise AdapterError(Reason.INVALID_WEIGHTS, f"{place} lacks its {name} part")
    if not tensors[name].dim():
        raise AdapterError(Reason.INVALID_WEIGHTS, f"{place}: {name} is a single number")
    return tensors[name]


def _shaped(place: Place, name: str, tensor: torch.Tensor, wanted: Shape) -> torch.Tensor:
    """The tensor in that shape; 1 x 1 kernels may be there or not."""
    if _squeezed(tuple(tensor.shape)) != _squeezed(wanted):
        raise _mismatch(place, name, tensor, wanted)
    return tensor.reshape(wanted)


def _mismatch(place: Place, name: str, tensor: torch.Tensor, wanted: Shape) -> AdapterError:
    message = f"{place}: {name} has shape {tuple(tensor.shape)} in the file; {wanted} expected"
    return AdapterError(Reason.BASE_MODEL_MISMATCH, message)


def _squeezed(shape: Shape) -> Shape:
    """The shape as both a Linear and a convolution of 1 x 1 have it."""
    return shape[:2] if shape[2:] == (1, 1) else shape


_FIRST_PARTS: Final = {
    Network.LORA: ("down", "up"),
    Network.LOHA: ("hada_",),
    Network.LOKR: ("lokr_",),
    Network.FULL: ("diff",),
}
_SETTLERS: Final[dict[Network, Callable[[Place, Tensors], Settled]]] = {
    Network.LORA: _lora,
    Network.LOHA: _loha,
    Network.LOKR: _lokr,
    Network.FULL: _full,
}
