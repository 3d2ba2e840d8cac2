"""Mutations of a file's tensors: the file stays one that safetensors would read."""

import json
import math
import random
from collections.abc import Callable
from typing import Final

from lorapool_api.lora.layouts.keys import PARTS
from tests.fuzz.headers import Mutation

WIDTHS: Final = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2, "I64": 8, "I8": 1}
Tensor = tuple[str, list[int], bytes]
"""(dtype, shape, bytes)."""
Tensors = dict[str, Tensor]


def _of_tensors(change: Callable[[random.Random, Tensors], None]) -> Mutation:
    def mutate(dice: random.Random, content: bytes) -> bytes:
        try:
            tensors = _read(content)
            change(dice, tensors)
            return _written(tensors)
        except (ValueError, LookupError, TypeError, AttributeError, OverflowError, MemoryError):
            return content  # an earlier mutation left no file to read

    return mutate


def _read(content: bytes) -> Tensors:
    end = 8 + int.from_bytes(content[:8], "little")
    entries = json.loads(content[8:end])
    entries.pop("__metadata__", None)
    return {
        name: (e["dtype"], list(e["shape"]), content[end + e["data_offsets"][0] : end + e["data_offsets"][1]])
        for name, e in entries.items()
    }


def _written(tensors: Tensors) -> bytes:
    entries, data = {}, b""
    for name, (dtype, shape, content) in tensors.items():
        entries[name] = {"dtype": dtype, "shape": shape, "data_offsets": [len(data), len(data) + len(content)]}
        data += content
    text = json.dumps(entries).encode()
    return len(text).to_bytes(8, "little") + text + data


def _sized(dtype: str, shape: list[int], content: bytes) -> Tensor:
    """The bytes repeated or cut to what dtype and shape need."""
    size = WIDTHS[dtype] * math.prod(shape)
    if not 0 <= size <= 100_000:
        raise ValueError("too large for a case")
    return dtype, shape, (content * (size // max(len(content), 1) + 1))[:size].ljust(size, b"\0")


def _resized(dice: random.Random, tensors: Tensors) -> None:
    name = dice.choice(list(tensors))
    dtype, shape, content = tensors[name]
    match dice.randrange(5):
        case 0:
            shape.insert(dice.randrange(len(shape) + 1), dice.choice((1, 2, 3)))
        case 1:
            shape.pop(dice.randrange(len(shape)))
        case 2:
            shape.reverse()
        case 3:
            shape[:] = dice.choice([t[1] for t in tensors.values()])
        case _:
            shape[dice.randrange(len(shape))] = dice.choice((0, 1, 2, 3, 4, 5, 6, 7, 8, 17, 100))
    tensors[name] = _sized(dtype, list(shape), content)


def _retyped(dice: random.Random, tensors: Tensors) -> None:
    name = dice.choice(list(tensors))
    _, shape, content = tensors[name]
    tensors[name] = _sized(dice.choice(list(WIDTHS)), shape, content)


def _dropped(dice: random.Random, tensors: Tensors) -> None:
    for _ in range(dice.choice((1, 1, 2))):
        del tensors[dice.choice(list(tensors))]


def _relabelled(dice: random.Random, tensors: Tensors) -> None:
    """A tensor becomes another part, of the same module or another, or another layout's part."""
    name = dice.choice(list(tensors))
    owner = dice.choice([n.partition(".")[0] if n.startswith("lora_") else n.rsplit(".", 2)[0] for n in tensors])
    new = dice.choice(
        (f"{owner}.{dice.choice(list(PARTS))}", name.replace("unet", "te2"), name.replace("attn2", "attn1"))
    )
    tensor = tensors[name] if dice.random() < 0.5 else tensors.pop(name)
    tensors[new] = tensor


def _ranked(dice: random.Random, tensors: Tensors) -> None:
    """All sides that are a rank become another number, the same one."""
    rank = dice.choice((1, 3, 16, 17, 200))
    for name, (dtype, shape, content) in list(tensors.items()):
        tensors[name] = _sized(dtype, [rank if side == 2 else side for side in shape], content)


OF_TENSORS: Final[tuple[Mutation, ...]] = tuple(
    _of_tensors(change) for change in (_resized, _retyped, _dropped, _relabelled, _ranked) for _ in range(4)
)
