"""The JSON of a safetensors header, entry by entry.

A parser of all JSON would build whatever sixteen megabytes can say before anybody can refuse it. This one knows what a
header holds: what is wrong, or too much, ends the reading where it stands.
"""

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

_SPACE: Final = re.compile(r"[ \t\n\r]*")
_ENTRY_CHARS: Final = 1024
"""Dtype, shape and offsets take about a hundred."""
METADATA: Final = "__metadata__"


class Malformed(Exception):
    """Not the JSON of a header, or more than is read of one; the text says why."""


@dataclass(frozen=True)
class MetadataLimits:
    """Most that `__metadata__` may hold: bytes of its JSON as it stands in the header, and entries."""

    text_bytes: int
    entries: int


def entries(text: bytes, metadata: MetadataLimits) -> Iterator[tuple[str, dict[str, Any]]]:
    """Name and value of each entry in their order; the value of `__metadata__` maps strings to strings.

    Raises:
        Malformed: with the first thing that is wrong.
    """
    try:
        scanner = _Scanner(text.decode(), metadata)
    except UnicodeDecodeError as error:
        raise Malformed("the header is not JSON in UTF-8") from error
    for name in scanner.names():
        yield name, scanner.metadata() if name == METADATA else scanner.entry(name)
    scanner.end()


class _Scanner:
    """A place in the text; each method moves it past what it reads."""

    def __init__(self, text: str, limits: MetadataLimits) -> None:
        self._text = text
        self._limits = limits
        self._at = 0

    def names(self) -> Iterator[str]:
        """The names of an object; who takes one must read its value before the next."""
        seen: set[str] = set()
        self._take("{", "the header is not a JSON object")
        if self._next_is("}"):
            self._at += 1
            return
        while True:
            name = self._string("a name")
            if name in seen:
                raise Malformed(f"the name {name[:80]!r} occurs twice")
            seen.add(name)
            self._take(":", "the header is not JSON")
            yield name
            if self._next_is("}"):
                self._at += 1
                return
            self._take(",", "the header is not JSON")

    def metadata(self) -> dict[str, str]:
        if not self._next_is("{"):
            raise Malformed("__metadata__ must map strings to strings")
        found: dict[str, str] = {}
        begin, size_bytes, most = self._at, 0, self._limits
        for name in self.names():
            if len(found) == most.entries:
                raise Malformed(f"__metadata__ has more than the {most.entries} entries that are read at most")
            found[name] = self._string("__metadata__ must map strings to strings: a value")
            size_bytes += len(self._text[begin : self._at].encode())
            begin = self._at
            if size_bytes > most.text_bytes:
                raise Malformed(f"__metadata__ has more than the {most.text_bytes} bytes that are read at most")
        return found

    def entry(self, name: str) -> dict[str, Any]:
        """An object that holds no other: the first brace ends it."""
        is_object = self._next_is("{")
        end = self._text.find("}", self._at, self._at + _ENTRY_CHARS) + 1
        if not is_object or not end:
            raise Malformed(f"tensor {name[:80]!r} lacks dtype, shape or data_offsets")
        entry = self._parsed(lambda: _ENTRY.decode(self._text[self._at : end]))
        self._at = end
        return dict(entry)

    def end(self) -> None:
        """Only padding may follow."""
        self._skip()
        if self._at != len(self._text):
            raise Malformed("something follows the JSON of the header")

    def _string(self, what: str) -> str:
        if not self._next_is('"'):
            raise Malformed(f"{what} is not a string")
        string, self._at = self._parsed(lambda: _STRING.raw_decode(self._text, self._at))
        return str(string)

    def _take(self, char: str, otherwise: str) -> None:
        if not self._next_is(char):
            raise Malformed(otherwise)
        self._at += 1

    def _next_is(self, char: str) -> bool:
        if self._text.startswith(char, self._at):
            return True  # without a space, as all write it
        self._skip()
        return self._text.startswith(char, self._at)

    def _skip(self) -> None:
        space = _SPACE.match(self._text, self._at)
        self._at = space.end() if space else self._at

    @staticmethod
    def _parsed(parse: Callable[[], Any]) -> Any:
        try:
            return parse()
        except (ValueError, RecursionError) as error:
            raise Malformed("the header is not JSON") from error


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    entry = dict(pairs)
    if len(entry) != len(pairs):
        raise ValueError("a name occurs twice")
    return entry


# Made once: a decoder is made of three Python functions, and a file has thousands of entries.
_STRING: Final = json.JSONDecoder()
_ENTRY: Final = json.JSONDecoder(object_pairs_hook=_no_duplicates)
