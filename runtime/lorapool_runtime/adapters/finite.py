"""Whether all weights of a file are finite, without torch or numpy.

A float is NaN or infinite when all bits of its exponent are set. The exponent's bits lie in the upper one or two
bytes, so two translated byte strings and one big AND decide a whole chunk at the speed of the C library.
"""

from functools import cache
from pathlib import Path
from typing import Final

from lorapool_api.lora.header import Header, TensorInfo

_CHUNK_BYTES: Final = 4 * 1024 * 1024


@cache
def _table(mask: int) -> bytes:
    return bytes(int(byte & mask == mask) for byte in range(256))


# dtype -> (bytes per value, which exponent bits the last byte holds, which ones the byte before it).
_EXPONENTS: Final = {
    "F16": (2, 0x7C, 0),
    "BF16": (2, 0x7F, 0x80),
    "F32": (4, 0x7F, 0x80),
    "F64": (8, 0x7F, 0xF0),
}


def first_not_finite(path: Path, header: Header) -> str | None:
    """The name of a tensor that holds NaN or infinity, or None. Reads the file once, in bounded memory."""
    data_start = header.size_bytes - max((t.end for t in header.tensors.values()), default=0)
    with path.open("rb") as file:
        for name, tensor in sorted(header.tensors.items(), key=lambda item: item[1].begin):
            if tensor.dtype not in _EXPONENTS:
                continue  # integers are finite
            file.seek(data_start + tensor.begin)
            left = tensor.end - tensor.begin
            while left:
                chunk = file.read(min(left, _CHUNK_BYTES))
                if not chunk or _holds_special(chunk, tensor):
                    return name
                left -= len(chunk)
    return None


def _holds_special(chunk: bytes, tensor: TensorInfo) -> bool:
    width, last_mask, previous_mask = _EXPONENTS[tensor.dtype]
    last = chunk[width - 1 :: width].translate(_table(last_mask))
    if not previous_mask or 1 not in last:
        return 1 in last
    previous = chunk[width - 2 :: width].translate(_table(previous_mask))
    return bool(int.from_bytes(last, "little") & int.from_bytes(previous, "little"))
