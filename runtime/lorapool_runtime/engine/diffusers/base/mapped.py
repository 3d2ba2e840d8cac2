"""Memory-mapped safetensors: tensors of a base model without a copy of the file."""

import json
import mmap
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import torch

from lorapool_api.lora.header import (
    BASE_MODEL,
    LENGTH_BYTES,
    FactsError,
    Header,
    TensorInfo,
    header_length,
    parse_header,
)
from lorapool_runtime.errors import ModelError

DTYPES: Final[Mapping[str, torch.dtype]] = MappingProxyType(
    {
        "F64": torch.float64,
        "F32": torch.float32,
        "F16": torch.float16,
        "BF16": torch.bfloat16,
        "I64": torch.int64,
        "I32": torch.int32,
        "I16": torch.int16,
        "I8": torch.int8,
        "U8": torch.uint8,
        "BOOL": torch.bool,
    }
)
"""What is read of safetensors' dtypes, by their names there."""


class MappedFile:
    """One file. Its tensors are views of the mapping and keep it alive; writing to them never reaches the file."""

    def __init__(self, path: Path) -> None:
        """Raises: ModelError when it is no safetensors file."""
        self.path = path
        try:
            with path.open("rb") as file:
                size_bytes = os.fstat(file.fileno()).st_size
                length = header_length(file.read(LENGTH_BYTES), size_bytes, BASE_MODEL)
                self.header: Header = parse_header(file.read(length), size_bytes, BASE_MODEL)
                self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
        except FactsError as error:
            raise ModelError(f"{path}: {error.message}") from error
        except (OSError, ValueError) as error:
            raise ModelError(f"{path} cannot be read: {error}") from error
        self._start = LENGTH_BYTES + length

    def tensor(self, name: str) -> torch.Tensor:
        """The tensor as it lies in the file. Raises: ModelError for a dtype that no base has."""
        info = self.header.tensors[name]
        dtype = DTYPES.get(info.dtype)
        if dtype is None:
            raise ModelError(f"{self.path}: {name} has dtype {info.dtype}, which no base can be loaded from")
        if info.begin == info.end:
            return torch.empty(info.shape, dtype=dtype)
        count = (info.end - info.begin) // dtype.itemsize
        flat = torch.frombuffer(self._map, dtype=dtype, count=count, offset=self._start + info.begin)
        return flat.view(info.shape)

    def drop_pages(self, info: TensorInfo) -> None:
        """The tensor's pages are needed no more: they stay in the page cache, but are not this process's memory."""
        page = mmap.PAGESIZE
        first = -(-(self._start + info.begin) // page) * page
        length = (self._start + info.end) // page * page - first
        if length > 0:
            self._map.madvise(mmap.MADV_DONTNEED, first, length)


def files_of(folder: Path, stem: str, variant: str | None) -> tuple[Path, ...]:
    """The safetensors files of a model: one, or the shards that its index names; none where there are no such files.

    Args:
        stem: `diffusion_pytorch_model` for models of diffusers, `model` for those of transformers.
        variant: as in `from_pretrained`; files without it are taken where none has it.

    Raises:
        ModelError: an index that cannot be read, or that names a file elsewhere.
    """
    for middle in (f".{variant}", "") if variant else ("",):
        single = folder / f"{stem}{middle}.safetensors"
        if single.is_file():
            return (single,)
        index = folder / f"{stem}.safetensors.index{middle}.json"
        if index.is_file():
            return _shards(index)
    return ()


def _shards(index: Path) -> tuple[Path, ...]:
    try:
        parsed: Any = json.loads(index.read_text())
        names: Iterable[str] = sorted(set(parsed["weight_map"].values()))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ModelError(f"{index} cannot be read: {error}") from error
    if not all(isinstance(n, str) and Path(n).name == n for n in names):
        raise ModelError(f"{index} names files of other folders")
    return tuple(index.parent / name for name in names)
