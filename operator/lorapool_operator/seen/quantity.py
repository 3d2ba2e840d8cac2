"""Quantities of bytes as Kubernetes writes them."""

import re
from typing import Final

_UNITS: Final = {
    "": 1,
    **{unit: 1000 ** (power + 1) for power, unit in enumerate("KMGT")},
    **{f"{unit}i": 1024 ** (power + 1) for power, unit in enumerate("KMGT")},
}
_QUANTITY: Final = re.compile(r"^([0-9]+(?:\.[0-9]+)?)([KMGT]i?)?$")


def quantity_bytes(text: str) -> int:
    """`1.5Gi` -> 1610612736. Raises: ValueError."""
    match = _QUANTITY.match(text)
    if match is None:
        raise ValueError(f"{text!r} is no quantity of bytes")
    return int(float(match[1]) * _UNITS[match[2] or ""])


def human_bytes(size: int) -> str:
    """A size in a few characters, for messages."""
    for unit, name in ((1024**3, "GiB"), (1024**2, "MiB"), (1024, "KiB")):
        if size >= unit:
            return f"{size / unit:.1f} {name}"
    return f"{size} bytes"
