"""Seeded mutations of a safetensors file: of its bytes and its numbers, of its header, of its tensors."""

import json
import random
import struct
from typing import Final

from tests.fuzz.headers import IN_HEADER, NUMBERS, Mutation
from tests.fuzz.tensors import OF_TENSORS

FLOATS: Final = (0.0, -0.0, float("nan"), float("inf"), float("-inf"), 1e38, -1e38, 65505.0, 1e-45, 1e9)


def mutated(dice: random.Random, content: bytes, other: bytes) -> bytes:
    """One to three mutations, now and then with pieces of another file."""
    for _ in range(dice.choice((1, 1, 1, 2, 3))):
        content = dice.choice(_MUTATIONS)(dice, content) if dice.random() < 0.95 else _spliced(dice, content, other)
    return content


def _flipped(dice: random.Random, content: bytes) -> bytes:
    data = bytearray(content)
    for _ in range(dice.choice((1, 1, 2, 8))):
        if data:
            data[dice.randrange(len(data))] ^= 1 << dice.randrange(8)
    return bytes(data)


def _overwritten(dice: random.Random, content: bytes) -> bytes:
    at, size = dice.randrange(len(content) + 1), dice.choice((1, 2, 4, 8, 64))
    return content[:at] + dice.randbytes(size) + content[at + size :]


def _cut_off(dice: random.Random, content: bytes) -> bytes:
    return content[: dice.randrange(len(content) + 1)]


def _longer(dice: random.Random, content: bytes) -> bytes:
    return content + dice.randbytes(dice.choice((1, 8, 1000)))


def _moved(dice: random.Random, content: bytes) -> bytes:
    """A piece is left out, or stands twice."""
    start, size = dice.randrange(len(content) + 1), dice.randrange(1, 65)
    piece = content[start : start + size]
    return content[:start] + piece * dice.choice((0, 2, 3)) + content[start + size :]


def _of_another_length(dice: random.Random, content: bytes) -> bytes:
    length = int.from_bytes(content[:8], "little")
    wrong = dice.choice((*NUMBERS, length - 1, length + 1, length + 8, len(content) - 8, len(content)))
    return (wrong % 2**64).to_bytes(8, "little") + content[8:]


def _spliced(dice: random.Random, content: bytes, other: bytes) -> bytes:
    return content[: dice.randrange(len(content) + 1)] + other[dice.randrange(len(other) + 1) :]


def _with_a_number(dice: random.Random, content: bytes) -> bytes:
    """A value of a tensor becomes a special one; alpha more often than its share of the bytes."""
    end = 8 + int.from_bytes(content[:8], "little")
    try:
        entries = json.loads(content[8:end])
        names = [n for n in entries if n.endswith("alpha")] if dice.random() < 0.5 else list(entries)
        entry = entries[dice.choice(names)]
        begin, stop = entry["data_offsets"]
        form = {"F64": "<d", "F32": "<f", "F16": "<e"}[entry["dtype"]]
        value = struct.pack(form, dice.choice(FLOATS))
        at = end + begin + dice.randrange(max((stop - begin) // len(value), 1)) * len(value)
    except (ValueError, LookupError, TypeError, OverflowError):
        return content
    return content[:at] + value + content[at + len(value) :]


_MUTATIONS: Final[tuple[Mutation, ...]] = (
    *(_flipped, _overwritten, _cut_off, _longer, _moved, _of_another_length, _with_a_number, _with_a_number),
    *IN_HEADER,
    *OF_TENSORS,
)
