"""The header of a safetensors file, read without trust and without the file's bytes.

Format: 8 bytes, little-endian length n; n bytes of JSON; the tensors' bytes. Each entry of the JSON is
`name: {dtype, shape, data_offsets: [begin, end]}` relative to the end of the header; `__metadata__` maps strings to
strings (https://github.com/huggingface/safetensors#format).
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import Any, Final

from lorapool_api.conditions import Reason

LENGTH_BYTES: Final = 8
MAX_HEADER_BYTES: Final = 16 * 1024 * 1024
MAX_TENSORS: Final = 50_000
MAX_DIMENSIONS: Final = 8

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
FLOATS: Final = frozenset({"F64", "F32", "F16", "BF16"})


class FactsError(Exception):
    """A file that cannot be served, with the reason that a condition will carry."""

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message


@dataclass(frozen=True)
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


def header_length(first: bytes, size_bytes: int) -> int:
    """Length of the JSON in bytes, from the first 8 bytes of a file of that size.

    Raises:
        FactsError: the file is too short for what it announces, or announces more than anybody needs.
    """
    if len(first) < LENGTH_BYTES or size_bytes < LENGTH_BYTES + 2:
        raise _not_safetensors(f"the file has {size_bytes} bytes, too few for a safetensors header")
    length = int.from_bytes(first[:LENGTH_BYTES], "little")
    if first[:2] in (b"PK", b"\x80\x02", b"\x80\x03", b"\x80\x04"):
        raise _not_safetensors("the file is a pickle or a zip archive under another name; only safetensors is read")
    if length > size_bytes - LENGTH_BYTES:
        raise _not_safetensors(
            f"the header announces {length} bytes, but the file has {size_bytes}: not safetensors or cut off"
        )
    if length > MAX_HEADER_BYTES:
        raise _not_safetensors(f"the header announces {length} bytes; at most {MAX_HEADER_BYTES} are read")
    return length


def parse_header(text: bytes, size_bytes: int) -> Header:
    """The header from its JSON and the size of the whole file.

    Raises:
        FactsError: anything that the format does not allow.
    """
    entries = _json_object(text)
    metadata = entries.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(v, str) for v in metadata.values()):
        raise _not_safetensors("__metadata__ must map strings to strings")
    if len(entries) > MAX_TENSORS:
        raise _not_safetensors(f"the header names {len(entries)} tensors; at most {MAX_TENSORS} are read")
    tensors = {name: _tensor(name, entry) for name, entry in entries.items()}
    _check_layout(tensors, size_bytes - LENGTH_BYTES - len(text))
    return Header(tensors, metadata, size_bytes)


def _json_object(text: bytes) -> dict[str, Any]:
    try:
        parsed = json.loads(text, object_pairs_hook=_no_duplicates)
    except (ValueError, RecursionError) as error:
        raise _not_safetensors("the header is not JSON") from error
    if not isinstance(parsed, dict):
        raise _not_safetensors("the header is not a JSON object")
    return parsed


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    entries = dict(pairs)
    if len(entries) != len(pairs):
        raise ValueError("a name occurs twice")
    return entries


def _tensor(name: str, entry: object) -> TensorInfo:
    match entry:
        case {"dtype": str(dtype), "shape": list(shape), "data_offsets": [int(begin), int(end)]}:
            pass
        case _:
            raise _not_safetensors(f"tensor {name[:80]!r} lacks dtype, shape or data_offsets")
    if dtype not in _BITS:
        raise _not_safetensors(f"tensor {name[:80]!r} has the unknown dtype {dtype[:20]!r}")
    if len(shape) > MAX_DIMENSIONS or not all(type(d) is int and 0 <= d < 2**40 for d in shape):
        raise _not_safetensors(f"tensor {name[:80]!r} has an impossible shape")
    if prod(shape) * _BITS[dtype] != (end - begin) * 8 or begin < 0:
        raise _not_safetensors(f"tensor {name[:80]!r}: offsets {begin} to {end} do not hold {dtype} {shape}")
    return TensorInfo(dtype, tuple(shape), begin, end)


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
