"""Mutations of a file's header as JSON; the tensors' bytes stay where they are."""

import json
import random
from collections.abc import Callable
from typing import Any, Final

Mutation = Callable[[random.Random, bytes], bytes]

NUMBERS: Final = (
    0, 1, -1, 2, 3, 7, 8, 127, 128, 255, 2**15, 2**31 - 1, 2**31, 2**32, 2**40, 2**62, 2**63, 2**64, 10**30,
)  # fmt: skip
ODD: Final[tuple[Any, ...]] = (
    None, True, False, "", "F32", 1.5, -0.0, 1e308, [], {}, [[]], "\x00", "\ud800", "a" * 600, *NUMBERS,
)  # fmt: skip
NAMES: Final = (
    "", ".", "..", "../../etc/passwd", "/etc/passwd", "a\nb", "__metadata__", "alpha", "lora_unet_", "lora_unet_.alpha",
    "unet.", "lora_unet_x.diff", "lora_unet_x.w_norm", "lora_unet_x.on_input", "bundle_emb.x.clip_g", "'; DROP TABLE",
    "base_model.model.lora_A.weight", "lora_unet_double_blocks_9999_img_attn_qkv.lora_up.weight", "é" * 40, "%s%n{0}",
)  # fmt: skip
DTYPES: Final = ("F64", "F32", "F16", "BF16", "F8_E4M3", "I64", "I8", "BOOL", "F128", "f32", "")

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
        f"unet.{k}": dice.choice((*ODD, "pissa", "lora_ga", ["LORA"], {"(a+)+$": 1}, {"t.._k": 2, r"to\.k": 10**400}))
        for k in ("lora_alpha", "r", "alpha_pattern", "rank_pattern", "init_lora_weights", "peft_type", "use_rslora")
    }
    entries["__metadata__"] = dice.choice(
        (
            {"lora_adapter_metadata": json.dumps(config)},
            {"lora_adapter_metadata": "[" * 20_000},
            {
                "lora_adapter_metadata": "["
                + "{}," * dice.choice((1_000, 83_000, 90_000))
                + "{}]"
                + dice.choice(("", "😀"))
            },
            {"lora_adapter_metadata": json.dumps({"unet.lora_alpha": 10**400, "unet.r": 10**400})},
            {f"{i:x}": "" for i in range(dice.choice((999, 1_000, 1_001, 5_000)))},
            {"training": dice.choice(("x", "é", "😀")) * dice.choice((65_000, 131_000, 263_000))},
            {"lora_adapter_metadata": '{"unet.lora_alpha": NaN, "unet.r": Infinity}'},
            {"ss_network_alpha": dice.choice(("nan", "1e999", "x" * 5000))},
            dice.choice(ODD),
        )
    )


def _entry(dice: random.Random, entries: Entries) -> Entries:
    entry = entries[dice.choice(list(entries))]
    return entry if isinstance(entry, dict) else {}


IN_HEADER: Final[tuple[Mutation, ...]] = tuple(
    _in_header(change)
    for change in (
        _with_shape, _with_shape, _with_offsets, _with_dtype, _renamed, _renamed, _without, _with_more, _odd_entry,
        _with_metadata,
    )
)  # fmt: skip
