"""The tensors of a GGUF file, mapped: packed ones as diffusers takes them, whole ones as torch does."""

import mmap
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import torch

from lorapool_runtime.engine.diffusers.packed.gguf.header import HEADER_BYTES, GgufTensor, MalformedGguf, parse_header
from lorapool_runtime.errors import ModelError

if TYPE_CHECKING:
    from gguf import GGMLQuantizationType

# What torch has a dtype for, by ggml's numbers.
_WHOLE: Final = {0: torch.float32, 1: torch.float16, 30: torch.bfloat16}


def tensors_of(path: Path) -> dict[str, torch.Tensor]:
    """By name, as views of the file's mapping; those of few bits are diffusers' `GGUFParameter`, of bytes.

    Raises:
        ModelError: no GGUF file, tensors beyond its end, or a type that diffusers does not unpack.
        ImportError: the package `gguf` is not there.
    """
    try:
        with path.open("rb") as file:
            found = parse_header(file.read(HEADER_BYTES))
            mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
        return {tensor.name: _tensor(tensor, mapped) for tensor in found}
    except MalformedGguf as error:
        raise ModelError(f"{path} is no GGUF file that can be read: {error}") from error
    except (OSError, ValueError) as error:
        raise ModelError(f"{path} cannot be read: {error}") from error


def _tensor(tensor: GgufTensor, mapped: mmap.mmap) -> torch.Tensor:
    if (dtype := _WHOLE.get(tensor.kind)) is not None:
        return _bytes(tensor, mapped, prod(tensor.shape) * dtype.itemsize).view(dtype).view(tensor.shape)
    from diffusers.quantizers.gguf.utils import GGUFParameter

    kind, block, size_bytes = _blocks(tensor.kind)
    if not tensor.shape or tensor.shape[-1] % block:
        raise MalformedGguf(f"rows of {tensor.name[:80]} are no multiple of {block} numbers, a block of {kind.name}")
    rows = (*tensor.shape[:-1], tensor.shape[-1] // block * size_bytes)
    made: torch.Tensor = GGUFParameter(_bytes(tensor, mapped, prod(rows)).view(rows), quant_type=kind)
    return made


def _bytes(tensor: GgufTensor, mapped: mmap.mmap, count: int) -> torch.Tensor:
    if tensor.begin + count > len(mapped):
        raise MalformedGguf(f"{tensor.name[:80]} ends beyond the file")
    if not count:
        return torch.empty(0, dtype=torch.uint8)
    return torch.frombuffer(mapped, dtype=torch.uint8, count=count, offset=tensor.begin)


def _blocks(number: int) -> "tuple[GGMLQuantizationType, int, int]":
    """The type, the numbers of one block, and its bytes."""
    from diffusers.quantizers.gguf.utils import GGML_QUANT_SIZES, SUPPORTED_GGUF_QUANT_TYPES

    known: Any = {int(kind): kind for kind in SUPPORTED_GGUF_QUANT_TYPES}
    if (kind := known.get(number)) is None:
        names = ", ".join(sorted(kind.name for kind in known.values()))
        raise MalformedGguf(f"it has weights of ggml's type {number}: {names} are read, F32 and F16")
    block, size_bytes = GGML_QUANT_SIZES[kind]
    return kind, block, size_bytes
