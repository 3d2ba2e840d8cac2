"""Amounts as Kubernetes writes them: what they may look like, and what they are."""

import re
from decimal import Decimal
from typing import Annotated, Final, Literal

from pydantic import Field

_NUMBER: Final = r"(([0-9]+(\.[0-9]*)?)|(\.[0-9]+))"
QUANTITY_PATTERN: Final = rf"^(\+|-)?{_NUMBER}(([KMGTPE]i)|[numkMGTPE]|([eE](\+|-)?{_NUMBER}))?$"
_BYTES_PATTERN: Final = r"^[0-9]+(\.[0-9]+)?([KMGT]i?)?$"
IntOrQuantity = Annotated[
    str | int,
    Field(
        json_schema_extra={
            "x-kubernetes-int-or-string": True,
            "pattern": QUANTITY_PATTERN,
        }
    ),
]
Copies = Annotated[
    Annotated[int, Field(ge=0, le=1000)] | Literal["All"],
    Field(json_schema_extra={"x-kubernetes-int-or-string": True, "minimum": 0, "maximum": 1000, "pattern": "^All$"}),
]
_PERCENT: Final = r"^(100|[1-9]?[0-9])%$"
IntOrPercent = Annotated[
    Annotated[int, Field(ge=0, le=1000)] | Annotated[str, Field(pattern=_PERCENT)],
    Field(
        json_schema_extra={
            "x-kubernetes-int-or-string": True,
            "minimum": 0,
            "maximum": 1000,
            "pattern": _PERCENT,
            "maxLength": 4,
        }
    ),
]
ByteQuantity = Annotated[str, Field(pattern=_BYTES_PATTERN, max_length=32)]

_FACTORS: Final = (
    {"": Decimal(1), "K": Decimal(1000)}
    | {unit: Decimal(1000) ** power for power, unit in enumerate("num", -3)}
    | {unit: Decimal(1000) ** power for power, unit in enumerate("kMGTPE", 1)}
    | {f"{unit}i": Decimal(1024) ** power for power, unit in enumerate("KMGTPE", 1)}
)
# The exponent of `1e3` and `1E3` belongs to the number; the E of `1E` is a suffix. No amount needs more digits in it.
_QUANTITY: Final = re.compile(r"([+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d{1,2})?)([a-zA-Z]*)", re.ASCII)


def is_nothing(amount: int | str | None) -> bool:
    """Whether an `IntOrPercent` is given, and 0."""
    return amount in (0, "0%")


def parse_quantity(text: str) -> Decimal:
    """`100m`, `2Gi`, `1e3`. Raises: ValueError."""
    match = _QUANTITY.fullmatch(text)
    factor = _FACTORS.get(match[2]) if match else None
    if match is None or factor is None:
        raise ValueError(f"{text!r} is no quantity")
    return Decimal(match[1]) * factor


def quantity_bytes(text: str) -> int:
    """A `ByteQuantity` in bytes: `1.5Gi` -> 1610612736. Raises: ValueError."""
    if not re.match(_BYTES_PATTERN, text):
        raise ValueError(f"{text!r} is no quantity of bytes")
    return int(parse_quantity(text))


def human_bytes(size: int) -> str:
    """A size in a few characters, for messages."""
    for unit, name in ((1024**3, "GiB"), (1024**2, "MiB"), (1024, "KiB")):
        if size >= unit:
            return f"{size / unit:.1f} {name}"
    return f"{size} bytes"
