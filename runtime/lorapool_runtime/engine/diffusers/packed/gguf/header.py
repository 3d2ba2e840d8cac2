"""The header of a GGUF file, read without trust: what its tensors are called, and where they lie.

Format, little-endian: "GGUF", a version, how many tensors and values there are; the values; of each tensor its name,
dimensions from the last to the first, type and offset; then, from a multiple of the alignment on, their bytes
(https://github.com/ggml-org/ggml/blob/master/docs/gguf.md).
"""

import struct
from dataclasses import dataclass
from typing import Any, Final

HEADER_BYTES: Final = 16 * 1024 * 1024
"""No header is longer: what a language model keeps of its vocabulary, a denoiser does not have."""

_VERSIONS: Final = (2, 3)
_TENSORS, _VALUES, _DIMENSIONS, _NAME_BYTES = 50_000, 10_000, 4, 512
_ALIGNMENT: Final = "general.alignment"
# Formats of values by their number; a text and a list have lengths of their own.
_VALUE: Final = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_TEXT, _LIST = 8, 9


class MalformedGguf(ValueError):
    """No GGUF file, or one that says of itself what cannot be."""


@dataclass(frozen=True)
class GgufTensor:
    """One tensor.

    Attributes:
        shape: as torch has it: rows first.
        kind: its number in ggml's list of types.
        begin: of its bytes in the file.
    """

    name: str
    shape: tuple[int, ...]
    kind: int
    begin: int


def parse_header(data: bytes) -> list[GgufTensor]:
    """The tensors of a file.

    Args:
        data: how it begins: all of it, or HEADER_BYTES.

    Raises: MalformedGguf.
    """
    cursor = _Cursor(data)
    if cursor.take(4) != b"GGUF":
        raise MalformedGguf("it does not begin as a GGUF file does")
    if (version := cursor.number("I")) not in _VERSIONS:
        raise MalformedGguf(f"its version is {version}: 2 and 3 are read")
    tensors, values = cursor.number("Q"), cursor.number("Q")
    if tensors > _TENSORS or values > _VALUES:
        raise MalformedGguf(f"it counts {tensors} tensors and {values} values, more than any denoiser has")
    alignment = _alignment(cursor, values)
    found = [_tensor(cursor) for _ in range(tensors)]
    if len({tensor.name for tensor in found}) != len(found):
        raise MalformedGguf("two of its tensors have one name")
    start = -(-cursor.place // alignment) * alignment
    return [GgufTensor(t.name, t.shape, t.kind, start + t.begin) for t in found]


def _alignment(cursor: "_Cursor", values: int) -> int:
    alignment = 32
    for _ in range(values):
        name, kind = cursor.text(), cursor.number("I")
        if name == _ALIGNMENT and kind == 4:
            alignment = cursor.number("I")
        else:
            cursor.skip_value(kind)
    if alignment < 1 or alignment > 2**20:
        raise MalformedGguf(f"its tensors would begin at multiples of {alignment} bytes")
    return alignment


def _tensor(cursor: "_Cursor") -> GgufTensor:
    name, count = cursor.text(), cursor.number("I")
    if count > _DIMENSIONS:
        raise MalformedGguf(f"{name[:80]} has {count} dimensions: {_DIMENSIONS} are read")
    shape = tuple(reversed([cursor.number("Q") for _ in range(count)]))
    return GgufTensor(name, shape, cursor.number("I"), cursor.number("Q"))


class _Cursor:
    """A place in the header. What would be read beyond its end raises MalformedGguf."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.place = 0

    def take(self, count: int) -> bytes:
        if count > len(self._data) - self.place:
            raise MalformedGguf("its header is longer than the file, or than that of any denoiser")
        self.place += count
        return self._data[self.place - count : self.place]

    def number(self, form: str) -> Any:
        (found,) = struct.unpack(f"<{form}", self.take(struct.calcsize(f"<{form}")))
        return found

    def text(self) -> str:
        length = self.number("Q")
        if length > _NAME_BYTES:
            raise MalformedGguf(f"a name in its header has {length} bytes")
        try:
            return self.take(length).decode()
        except UnicodeDecodeError as error:
            raise MalformedGguf("a name in its header is no text") from error

    def skip_value(self, kind: int) -> None:
        if kind == _TEXT:
            self.take(self.number("Q"))
        elif kind == _LIST:
            self._skip_list(self.number("I"), self.number("Q"))
        else:
            self._skip_numbers(kind, 1)

    def _skip_list(self, kind: int, count: int) -> None:
        if kind != _TEXT:
            self._skip_numbers(kind, count)
            return
        for _ in range(count):
            self.take(self.number("Q"))

    def _skip_numbers(self, kind: int, count: int) -> None:
        if (form := _VALUE.get(kind)) is None:
            raise MalformedGguf(f"a value in its header has the type {kind}")
        self.take(count * struct.calcsize(f"<{form}"))
