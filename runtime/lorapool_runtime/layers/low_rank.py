"""From a checked adapter file to low-rank pairs in one flat buffer of host memory."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Final

import torch

from lorapool_api.adapter import AdapterFormat
from lorapool_api.conditions import Reason
from lorapool_api.facts import parts_by_module
from lorapool_api.header import Header, TensorInfo
from lorapool_runtime.errors import AdapterError
from lorapool_runtime.formats import peft
from lorapool_runtime.formats.check import read_header
from lorapool_runtime.layers.switchboard import Pair, Place, Switchboard
from lorapool_runtime.store.files import AdapterFile

_DTYPES: Final = {"F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}
# Every view starts at such a multiple: kernels for matrix products want it.
_ALIGNMENT: Final = 64


@dataclass(frozen=True)
class Slot:
    """Where a pair lies in the flat buffer: element offsets and shapes."""

    place: Place
    down_at: int
    down_shape: tuple[int, ...]
    up_at: int
    up_shape: tuple[int, ...]
    scale: float


@dataclass(frozen=True)
class LoraAdapter:
    """An adapter's weights as one flat buffer with a table of views into it; one copy brings it elsewhere."""

    identity: str
    sha256: str
    flat: torch.Tensor
    slots: tuple[Slot, ...]

    @property
    def size_bytes(self) -> int:
        return self.flat.numel() * self.flat.element_size()

    def pairs(self, flat: torch.Tensor) -> tuple[Pair, ...]:
        """The pairs as views into the buffer, or into a copy of it on a device."""
        return tuple(
            Pair(s.place, _view(flat, s.down_at, s.down_shape), _view(flat, s.up_at, s.up_shape), s.scale)
            for s in self.slots
        )


def read_lora(file: AdapterFile, board: Switchboard, dtype: torch.dtype, *, pinned: bool) -> LoraAdapter:
    """Read the file for that base; every key of it is consumed, every module of it is found.

    Raises:
        AdapterError: a module that the base lacks, parts that do not fit together, weights that the base's dtype
            cannot hold.
        FileNotFoundError: the file has left the cache.
    """
    header = read_header(file.path)
    data = _data(file.path, header)
    scales = _Scales(file, header)
    modules = parts_by_module(header)
    if sum(len(parts) for parts in modules.values()) != len(header.tensors):
        raise AdapterError(Reason.UNSUPPORTED_FORMAT, "two keys of the file name the same part of a module")
    found = []
    for (component, module), parts in sorted(modules.items()):
        place = board.find(component, module)
        if place is None:
            raise AdapterError(Reason.BASE_MODEL_MISMATCH, f"the base has no module {component} {module}")
        tensors = {part: _tensor(data, info) for part, info in parts.items()}
        down, up = _canonical(place, tensors)
        found.append((place, down, up, scales.of(place, tensors, rank=up.shape[1])))
    return _flatten(file, found, dtype, pinned=pinned)


class _Scales:
    """alpha / rank of each module, from wherever the layout keeps it."""

    def __init__(self, file: AdapterFile, header: Header) -> None:
        self._by_component = peft.from_metadata(header.metadata)
        self._beside = peft.from_file(file.peft_config) if file.peft_config is not None else None
        if file.facts.format is AdapterFormat.PEFT and not self._by_component and self._beside is None:
            message = "a PEFT file without its adapter_config.json: nothing says its alpha"
            raise AdapterError(Reason.UNSUPPORTED_FORMAT, message)

    def of(self, place: Place, tensors: Mapping[str, torch.Tensor], rank: int) -> float:
        if "alpha" in tensors:
            return self._checked(float(tensors["alpha"].item()) / rank, place)
        config = self._by_component.get(place.component, self._beside)
        if config is None:
            return 1.0  # both diffusers and kohya: no alpha means alpha = rank
        return self._checked(config.scale((place.name, f"text_model.{place.name}"), rank), place)

    @staticmethod
    def _checked(scale: float, place: Place) -> float:
        if scale == 0:
            raise AdapterError(Reason.INVALID_WEIGHTS, f"{place.component} {place.name}: alpha is 0")
        return scale


def _data(path: Path, header: Header) -> torch.Tensor:
    """The file's tensors as bytes."""
    size = max((t.end for t in header.tensors.values()), default=0)
    with path.open("rb") as file:
        file.seek(header.size_bytes - size)
        data = bytearray(file.read(size))
    if len(data) != size:
        raise AdapterError(Reason.INVALID_WEIGHTS, "the file became shorter while it was read")
    return torch.frombuffer(data, dtype=torch.uint8)


def _tensor(data: torch.Tensor, info: TensorInfo) -> torch.Tensor:
    dtype = _DTYPES[info.dtype]
    raw = data[info.begin : info.end]
    if info.begin % dtype.itemsize:
        raw = raw.clone()  # a view must start at a multiple of its element's size
    return raw.view(dtype).reshape(info.shape)


def _canonical(place: Place, tensors: Mapping[str, torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
    """(down, up) in the shapes that the place's module takes."""
    down, up = tensors["down"], tensors["up"]
    if "mid" in tensors:
        down = _with_mid(down, tensors["mid"], place)
    rank, kernel = down.shape[0], place.shape[2:]
    wanted_down = (rank, place.shape[1], *kernel)
    wanted_up = (place.shape[0], rank, *(1 for _ in kernel))
    for tensor, wanted in ((down, wanted_down), (up, wanted_up)):
        if _squeezed(tuple(tensor.shape)) != _squeezed(wanted):
            message = f"{place.component} {place.name}: shape {tuple(tensor.shape)} in the file; {wanted} expected"
            raise AdapterError(Reason.BASE_MODEL_MISMATCH, message)
    return down.reshape(wanted_down), up.reshape(wanted_up)


def _with_mid(down: torch.Tensor, mid: torch.Tensor, place: Place) -> torch.Tensor:
    """LoCon's three parts as two: a 1 x 1 convolution before a larger one is one larger convolution."""
    if down.shape[2:] not in ((), (1, 1)) or mid.dim() != 4 or mid.shape[1] != down.shape[0]:
        message = f"{place.component} {place.name}: down {tuple(down.shape)} and mid {tuple(mid.shape)} do not fit"
        raise AdapterError(Reason.INVALID_WEIGHTS, message)
    return torch.einsum("rshw,si->rihw", mid.double(), down.flatten(1).double())


def _squeezed(shape: Sequence[int]) -> tuple[int, ...]:
    """The shape as both a Linear and a convolution of 1 x 1 have it."""
    return tuple(shape[:2]) if tuple(shape[2:]) == (1, 1) else tuple(shape)


def _flatten(
    file: AdapterFile,
    found: Iterable[tuple[Place, torch.Tensor, torch.Tensor, float]],
    dtype: torch.dtype,
    *,
    pinned: bool,
) -> LoraAdapter:
    slots, tensors, end = [], [], 0
    for place, down, up, scale in found:
        down_at = end
        up_at = down_at + _aligned(down.numel(), dtype)
        end = up_at + _aligned(up.numel(), dtype)
        slots.append(Slot(place, down_at, tuple(down.shape), up_at, tuple(up.shape), scale))
        tensors += [(down_at, down), (up_at, up)]
    flat = torch.zeros(end, dtype=dtype, pin_memory=pinned)
    for at, tensor in tensors:
        flat[at : at + tensor.numel()].copy_(tensor.flatten())
    if not torch.isfinite(flat).all():
        raise AdapterError(Reason.INVALID_WEIGHTS, f"the file holds weights that {dtype} cannot hold")
    return LoraAdapter(file.identity, file.sha256, flat, tuple(slots))


def _aligned(elements: int, dtype: torch.dtype) -> int:
    unit = _ALIGNMENT // dtype.itemsize
    return -(-elements // unit) * unit


def _view(flat: torch.Tensor, at: int, shape: tuple[int, ...]) -> torch.Tensor:
    return flat[at : at + prod(shape)].view(shape)
