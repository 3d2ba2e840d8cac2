"""What an adapter file's metadata says of alpha. diffusers' and PEFT's files have it nowhere else in the file."""

import json
import math
from collections.abc import Mapping
from typing import Final

DIFFUSERS_KEY: Final = "lora_adapter_metadata"
"""Where diffusers' `save_lora_weights` keeps PEFT's configuration, each name after its component's."""
_KOHYA_KEY: Final = "ss_network_alpha"
_NAMES: Final = ("lora_alpha", "alpha")
MAX_JSON_CHARS: Final = 256 * 1024
"""Most of somebody else's JSON that is parsed: every two bytes of it can make an object of some sixty."""


def alphas_in_metadata(metadata: Mapping[str, str]) -> frozenset[float]:
    """All of them that are numbers; what cannot be read says nothing here, and is refused with the weights."""
    found = [_number(metadata.get(_KOHYA_KEY, "")[:64])]
    text = metadata.get(DIFFUSERS_KEY, "{}")
    try:
        parsed = json.loads(text) if len(text) <= MAX_JSON_CHARS else {}
    except (ValueError, RecursionError):
        parsed = {}
    if isinstance(parsed, dict):
        found += [_number(value) for key, value in parsed.items() if key.rpartition(".")[2] in _NAMES]
    return frozenset(alpha for alpha in found if alpha is not None)


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None
