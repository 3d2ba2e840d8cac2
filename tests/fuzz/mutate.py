"""Seeded mutations of a safetensors file: of its bytes, of its header as JSON, and of its numbers."""

import json
import math
import random
import struct
from collections.abc import Callable
from typing import Any, Final

from lorapool_api.keys import PARTS

Mutation = Callable[[random.Random, bytes], bytes]

NUMBERS: Final = (
    0,
    1,
    -1,
    2,
    3,
    7,
    8,
    127,
    128,
    255,
    2**15,
    2**31 - 1,
    2**31,
    2**32,
    2**40,
    2**62,
    2**63,
    2**64,
    10**30,
)
ODD: Final[tuple[Any, ...]] = (
    None,
    True,
    False,
    "",
    "F32",
    1.5,
    -0.0,
    1e308,
    [],
    {},
    [[]],
    "\x00",
    "\ud800",
    "a" * 600,
    *NUMBERS,
)
NAMES: Final = (
    "", ".", "..", "../../etc/passwd", "/etc/passwd", "a\nb", "__metadata__", "alpha", "lora_unet_", "lora_unet_.alpha",
    "unet.", "lora_unet_x.diff", "lora_unet_x.w_norm", "lora_unet_x.on_input", "bundle_emb.x.clip_g", "'; DROP TABLE",
    "base_model.model.lora_A.weight", "lora_unet_double_blocks_9999_img_attn_qkv.lora_up.weight", "é" * 40, "%s%n{0}",
)  # fmt: skip
DTYPES: Final = ("F64", "F32", "F16", "BF16", "F8_E4M3", "I64", "I8", "BOOL", "F128", "f32", "")
FLOATS: Final = (0.0, -0.0, float("nan"), float("inf"), float("-inf"), 1e38, -1e38, 65505.0, 1e-45, 1e9)


def mutated(dice: random.Random, content: bytes, other: bytes) -> bytes:
    """One to three mutations, now and then with pieces of another file."""
    for _ in range(dice.choice((1, 1, 1, 2, 3))):
        content = dice.choice(_MUTATIONS)(dice, content) if dice.random() < 0.95 else _spliced(dice, content, other)
    return content


# ---- bytes -----------------------------------------------------------------------------------------------------


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


# ---- the header as JSON ----------------------------------------------------------------------------------------

Entries = dict[str, Any]


def _in_header(change: Callable[[random.Random, Entries], None]) -> Mutation:
    def mutate(dice: random.Random, content: bytes) -> bytes:
        end = 8 + int.from_bytes(content[:8], "little")
        try:
            entries = json.loads(content[8:end])
        except ValueError:
            return content
        if not isinstance(entries, dict) or not entries:
            return content
        change(dice, entries)
        text = json.dumps(entries).encode()
        return len(text).to_bytes(8, "little") + text + content[end:]

    return mutate


def _with_shape(dice: random.Random, entries: Entries) -> None:
    entry = _entry(dice, entries)
    shape = entry.get("shape")
    if not isinstance(shape, list):
        return
    match dice.randrange(5):
        case 0:
            shape.insert(dice.randrange(len(shape) + 1), dice.choice((1, *ODD)))
        case 1 if shape:
            shape.pop()
        case 2 if shape:
            shape[dice.randrange(len(shape))] = dice.choice(ODD)
        case 3:
            shape.reverse()
        case _:
            entry["shape"] = dice.choice(ODD)


def _with_offsets(dice: random.Random, entries: Entries) -> None:
    entry, other = _entry(dice, entries), _entry(dice, entries)
    offsets = entry.get("data_offsets")
    if isinstance(offsets, list) and offsets and dice.random() < 0.7:
        offsets[dice.randrange(len(offsets))] = dice.choice(NUMBERS)
    else:
        entry["data_offsets"] = dice.choice((other.get("data_offsets"), *ODD))


def _with_dtype(dice: random.Random, entries: Entries) -> None:
    _entry(dice, entries)["dtype"] = dice.choice((*DTYPES, *ODD))


def _renamed(dice: random.Random, entries: Entries) -> None:
    """A key gets another name, that of another module or part, or one with a letter more or less."""
    name = dice.choice(list(entries))
    entry = entries.pop(name)
    owner, _, part = name.partition(".")
    other = dice.choice(list(entries) or [name])
    at = dice.randrange(len(name) + 1)
    new = dice.choice(
        (dice.choice(NAMES), f"{owner}.{other.partition('.')[2]}", f"{other.partition('.')[0]}.{part}",
         name[:at] + name[at + 1 :], name[:at] + chr(dice.randrange(0x20, 0x3000)) + name[at:])
    )  # fmt: skip
    entries[new] = entry


def _without(dice: random.Random, entries: Entries) -> None:
    del entries[dice.choice(list(entries))]


def _with_more(dice: random.Random, entries: Entries) -> None:
    for i in range(dice.choice((1, 1, 20, 500))):
        entries[f"{dice.choice(NAMES)}{i}"] = {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]}


def _odd_entry(dice: random.Random, entries: Entries) -> None:
    entry = _entry(dice, entries)
    if dice.random() < 0.5:
        entries[dice.choice(list(entries))] = dice.choice(ODD)
    else:
        entry[dice.choice(("dtype", "shape", "data_offsets", "more"))] = dice.choice(ODD)


def _with_metadata(dice: random.Random, entries: Entries) -> None:
    config = {
        f"unet.{k}": dice.choice((*ODD, "pissa")) for k in ("lora_alpha", "r", "alpha_pattern", "init_lora_weights")
    }
    entries["__metadata__"] = dice.choice(
        (
            {"lora_adapter_metadata": json.dumps(config)},
            {"lora_adapter_metadata": "[" * 20_000},
            {"lora_adapter_metadata": '{"unet.lora_alpha": NaN, "unet.r": Infinity}'},
            {"ss_network_alpha": dice.choice(("nan", "1e999", "x" * 5000))},
            dice.choice(ODD),
        )
    )


def _entry(dice: random.Random, entries: Entries) -> Entries:
    entry = entries[dice.choice(list(entries))]
    return entry if isinstance(entry, dict) else {}


# ---- tensors: the file stays one that safetensors would read ------------------------------------------------------

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


# ---- numbers ---------------------------------------------------------------------------------------------------


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
    _flipped, _overwritten, _cut_off, _longer, _moved, _of_another_length, _with_a_number, _with_a_number,
    *(_in_header(change) for change in (
        _with_shape, _with_shape, _with_offsets, _with_dtype, _renamed, _renamed, _without, _with_more, _odd_entry,
        _with_metadata,
    )),
    *(_of_tensors(change) for change in (_resized, _retyped, _dropped, _relabelled, _ranked) for _ in range(4)),
)  # fmt: skip
