"""The header of a safetensors file, read without trust and without the file's bytes.

Format: 8 bytes, little-endian length n; n bytes of JSON; the tensors' bytes. Each entry of the JSON is
`name: {dtype, shape, data_offsets: [begin, end]}` relative to the end of the header; `__metadata__` maps strings to
strings (https://github.com/huggingface/safetensors#format).
"""

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import Final

from lorapool_api.kinds.conditions import Reason
from lorapool_api.lora.header_json import METADATA, Malformed, MetadataLimits, entries

LENGTH_BYTES: Final = 8
MAX_DIMENSIONS: Final = 8
MAX_NAME_CHARS: Final = 512


@dataclass(frozen=True)
class HeaderLimits:
    """Most that a header may hold.

    Attributes:
        header_bytes: of its JSON.
        tensors: that it may name.
        metadata: of `__metadata__`.
    """

    header_bytes: int
    tensors: int
    metadata: MetadataLimits


# Headers of adapters have 30 to 400 KiB and 200 to 8,000 tensors. Anybody may name one, so the limits are near that.
ADAPTER: Final = HeaderLimits(2 * 1024 * 1024, 20_000, MetadataLimits(256 * 1024, 1_000))
# A base model is chosen by the pool's owner; one file of a large one names more.
BASE_MODEL: Final = HeaderLimits(16 * 1024 * 1024, 50_000, MetadataLimits(1024 * 1024, 10_000))

_BITS: Final = {
    "F64": 64,
    "F32": 32,
    "F16": 16,
    "BF16": 16,
    "F8_E4M3": 8,
    "F8_E5M2": 8,
    "I64": 64,
    "I32": 32,
    "I16": 16,
    "I8": 8,
    "U64": 64,
    "U32": 32,
    "U16": 16,
    "U8": 8,
    "BOOL": 8,
}
# How files begin that are taken for safetensors again and again.
_PICKLE: Final = "a pickle or a zip archive under another name"
_OTHERS: Final = {
    b"PK": _PICKLE,
    **dict.fromkeys((bytes((0x80, protocol)) for protocol in range(2, 6)), _PICKLE),
    b"version ": "a pointer of Git LFS instead of the file",
    b"<!DOCTYP": "a page of HTML",
    b"<!doctyp": "a page of HTML",
    b"<html": "a page of HTML",
    b"GGUF": "a GGUF file",
}
FLOATS: Final = frozenset({"F64", "F32", "F16", "BF16"})
INTEGERS: Final = frozenset({"I64", "I32", "I16", "I8", "U8"})


class FactsError(Exception):
    """A file that cannot be served, with the reason that a condition will carry."""

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message


@dataclass(frozen=True, slots=True)
class TensorInfo:
    """One tensor as the header describes it; offsets are in bytes from the end of the header."""

    dtype: str
    shape: tuple[int, ...]
    begin: int
    end: int


@dataclass(frozen=True)
class Header:
    """A checked header: offsets lie within the file, do not overlap, and are as long as dtype and shape say."""

    tensors: Mapping[str, TensorInfo]
    metadata: Mapping[str, str]
    size_bytes: int


def size_bytes_of(dtype: str, shape: tuple[int, ...]) -> int:
    """What a tensor takes in a file."""
    return prod(shape) * _BITS[dtype] // 8


def header_length(first: bytes, size_bytes: int, limits: HeaderLimits = ADAPTER) -> int:
    """Length of the JSON in bytes, from the first 8 bytes of a file of that size.

    The messages never hold the number that those bytes make: in a file that is no safetensors they are its content.

    Raises:
        FactsError: the file is too short for what it announces, or announces more than anybody needs.
    """
    if len(first) < LENGTH_BYTES or size_bytes < LENGTH_BYTES + 2:
        raise _not_safetensors("the file is too short for a safetensors header")
    length = int.from_bytes(first[:LENGTH_BYTES], "little")
    if length <= min(size_bytes - LENGTH_BYTES, limits.header_bytes):
        return length  # also where its bytes are those that a pickle begins with: a header of 640 bytes is none
    for begin, other in _OTHERS.items():
        if first.startswith(begin):
            raise _not_safetensors(f"the file is {other}; only safetensors is read")
    if length > size_bytes - LENGTH_BYTES:
        raise _not_safetensors("the header announces more bytes than the file has: not safetensors, or cut off")
    raise _not_safetensors(f"the header announces more than the {limits.header_bytes} bytes that are read at most")


def parse_header(text: bytes, size_bytes: int, limits: HeaderLimits = ADAPTER) -> Header:
    """The header from its JSON and the size of the whole file.

    What it takes of memory is bounded by the length of the text, whatever the text says.

    Raises:
        FactsError: anything that the format does not allow.
    """
    tensors: dict[str, TensorInfo] = {}
    metadata: dict[str, str] = {}
    if len(text) > limits.header_bytes:
        raise _not_safetensors(f"the header has more than the {limits.header_bytes} bytes that are read at most")
    try:
        for name, entry in entries(text, limits.metadata):
            if name == METADATA:
                metadata = entry
            elif len(tensors) == limits.tensors:
                raise _not_safetensors(f"the header names more tensors than the {limits.tensors} that are read at most")
            else:
                tensors[_checked(name)] = _tensor(name, entry)
    except Malformed as error:
        raise _not_safetensors(str(error)) from error
    _check_layout(tensors, size_bytes - LENGTH_BYTES - len(text))
    return Header(tensors, metadata, size_bytes)


def _checked(name: str) -> str:
    """The name, which messages and logs may repeat."""
    if len(name) > MAX_NAME_CHARS or not name.isprintable():
        raise _not_safetensors(f"a tensor is called {name[:80]!a}: at most {MAX_NAME_CHARS} printable characters")
    return name


def _tensor(name: str, entry: object) -> TensorInfo:
    match entry:
        case {"dtype": str(dtype), "shape": list(shape), "data_offsets": [int(begin), int(end)]} if (
            type(begin) is type(end) is int
        ):
            pass
        case _:
            raise _not_safetensors(f"tensor {name[:80]!r} lacks dtype, shape or data_offsets")
    if dtype not in _BITS:
        raise _not_safetensors(f"tensor {name[:80]!r} has the unknown dtype {dtype[:20]!r}")
    if len(shape) > MAX_DIMENSIONS or not all(type(d) is int and 0 <= d < 2**40 for d in shape):
        raise _not_safetensors(f"tensor {name[:80]!r} has an impossible shape")
    if prod(shape) * _BITS[dtype] != (end - begin) * 8 or begin < 0:
        raise _not_safetensors(f"tensor {name[:80]!r}: offsets {begin} to {end} do not hold {dtype} {shape}")
    return TensorInfo(sys.intern(dtype), tuple(shape), begin, end)


def _check_layout(tensors: Mapping[str, TensorInfo], data_bytes: int) -> None:
    """The tensors follow each other without gap or overlap and end where the file ends."""
    position = 0
    for tensor in sorted(tensors.values(), key=lambda t: (t.begin, t.end)):
        if tensor.begin != position:
            raise _not_safetensors(f"tensors overlap or leave a gap at byte {position}")
        position = tensor.end
    if position > data_bytes:
        raise _not_safetensors(f"the file is cut off: tensors need {position} bytes, {data_bytes} are there")
    if position < data_bytes:
        raise _not_safetensors(f"{data_bytes - position} bytes follow the last tensor")


def _not_safetensors(message: str) -> FactsError:
    return FactsError(Reason.INVALID_WEIGHTS, message)
