"""JSON objects with one long list, read row by row: ten thousand rows at once would hold up the event loop."""

import re
from collections.abc import Callable
from json import JSONDecoder
from typing import Any, Final

from lorapool_runtime.turns import LongWork

# A row of a catalog takes some 20 us.
_SLICE: Final = 50
_DECODER: Final = JSONDecoder()
_WHITESPACE: Final = re.compile(r"[ \t\n\r]*")


async def read_rows(content: bytes, rows: str, read: Callable[[Any], Any]) -> dict[str, Any]:
    """The object's fields; of the list `rows`, what `read` makes of each row.

    Raises:
        ValueError: it is no JSON, no object, or `rows` is no list; and what `read` raises.
    """
    text = content.decode()
    fields: dict[str, Any] = {}
    at = _after(text, _space(text, 0), "{")
    if text[at : at + 1] == "}":
        at += 1
    else:
        is_more = True
        while is_more:
            if text[at : at + 1] != '"':
                raise ValueError(f"no name of a field at character {at}")
            name, at = _value(text, at)
            at = _after(text, at, ":")
            if name == rows:
                fields[name], at = await _list(text, at, read)
            else:
                fields[name], at = _value(text, at)
            at, is_more = _next(text, at, "}")
    if at != len(text):
        raise ValueError("there is more than one object")
    return fields


async def _list(text: str, at: int, read: Callable[[Any], Any]) -> tuple[list[Any], int]:
    found: list[Any] = []
    at = _after(text, at, "[")
    if text[at : at + 1] == "]":
        return found, _space(text, at + 1)
    is_more, work = True, LongWork()
    while is_more:
        row, at = _value(text, at)
        found.append(read(row))
        at, is_more = _next(text, at, "]")
        if not len(found) % _SLICE:
            await work.pause()
    return found, at


def _value(text: str, at: int) -> tuple[Any, int]:
    """(the value that begins there, where the next thing begins)."""
    try:
        value, end = _DECODER.raw_decode(text, at)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    return value, _space(text, end)


def _next(text: str, at: int, closing: str) -> tuple[int, bool]:
    """(where the next thing begins, whether it is one more of the same)."""
    if text[at : at + 1] == closing:
        return _space(text, at + 1), False
    return _after(text, at, ","), True


def _after(text: str, at: int, sign: str) -> int:
    if text[at : at + 1] != sign:
        raise ValueError(f"no {sign} at character {at}")
    return _space(text, at + 1)


def _space(text: str, at: int) -> int:
    match = _WHITESPACE.match(text, at)
    return match.end() if match else at
