"""An adapter's tensors in one flat buffer of one dtype, so that one copy brings them all to a device."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final, NamedTuple

import torch

from lorapool_api.kinds.conditions import Reason
from lorapool_api.lora.header import TensorInfo
from lorapool_runtime.engine.diffusers.base.mapped import DTYPES
from lorapool_runtime.errors import AdapterError

# Every tensor starts at such a multiple of bytes: kernels for matrix products want it.
_ALIGNMENT: Final = 64


class Flat(NamedTuple):
    """The buffer (elements,), and the element at which each of the tensors starts."""

    buffer: torch.Tensor
    starts: Sequence[int]


def read_bytes(path: Path, infos: Iterable[TensorInfo], size_bytes: int) -> torch.Tensor:
    """The bytes of all tensors of a file of that size, (bytes,) uint8.

    Raises:
        AdapterError: the file is shorter than its facts say.
        FileNotFoundError: the file has left the cache.
    """
    size = max((info.end for info in infos), default=0)
    data = torch.empty(size, dtype=torch.uint8)
    left = data.numpy().data
    with path.open("rb", buffering=0) as file:
        file.seek(size_bytes - size)
        while left and (count := file.readinto(left)):
            left = left[count:]
    if left:
        raise AdapterError(Reason.INVALID_WEIGHTS, "the file became shorter while it was read")
    return data


def tensor_of(data: torch.Tensor, info: TensorInfo) -> torch.Tensor:
    """One tensor of those bytes, without a copy where its place allows."""
    dtype = DTYPES[info.dtype]
    raw = data[info.begin : info.end]
    if info.begin % dtype.itemsize:
        raw = raw.clone()  # a view must start at a multiple of its element's size
    return raw.view(dtype).reshape(info.shape)


def flatten(
    data: torch.Tensor, infos: Iterable[TensorInfo], tensors: Sequence[torch.Tensor], dtype: torch.dtype
) -> Flat:
    """The tensors in that dtype, one behind the other; the file's own bytes where they lie there like that.

    Raises:
        AdapterError: a number that the dtype cannot hold.
    """
    if _lies_ready(infos, dtype) and all(_is_of(data, t) for t in tensors):
        flat = Flat(data.view(dtype), [int(t.storage_offset()) for t in tensors])
    else:
        flat = _joined(tensors, dtype)
    if not _is_finite(flat.buffer):
        raise AdapterError(Reason.INVALID_WEIGHTS, f"the file holds weights that {dtype} cannot hold")
    return flat


def _lies_ready(infos: Iterable[TensorInfo], dtype: torch.dtype) -> bool:
    return all(DTYPES[info.dtype] is dtype and info.begin % _ALIGNMENT == 0 for info in infos)


def _is_of(data: torch.Tensor, tensor: torch.Tensor) -> bool:
    shared = tensor.untyped_storage().data_ptr() == data.untyped_storage().data_ptr()
    return shared and tensor.is_contiguous() and tensor.data_ptr() % _ALIGNMENT == data.data_ptr() % _ALIGNMENT


def _joined(tensors: Sequence[torch.Tensor], dtype: torch.dtype) -> Flat:
    unit = _ALIGNMENT // dtype.itemsize
    padding = torch.zeros(unit, dtype=dtype)
    starts: list[int] = []
    parts: list[torch.Tensor] = []
    end = 0
    for tensor in tensors:
        starts.append(end)
        parts.append(tensor.to(dtype).flatten())
        end += tensor.numel()
        if missing := -end % unit:
            parts.append(padding[:missing])
            end += missing
    buffer = torch.empty(end, dtype=dtype)
    if parts:
        torch.cat(parts, out=buffer)
    return Flat(buffer, starts)


def _is_finite(flat: torch.Tensor) -> bool:
    """Whether all are finite: NaN is the least and the largest of whatever it is among."""
    return not flat.numel() or all(bool(extreme.isfinite()) for extreme in torch.aminmax(flat))
