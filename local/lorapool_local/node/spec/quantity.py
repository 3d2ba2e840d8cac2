"""Kubernetes quantities, as far as the node needs them."""

import math
import re
from decimal import Decimal

_BINARY = {"Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40, "Pi": 2**50, "Ei": 2**60}
_FACTORS = {
    **{suffix: Decimal(factor) for suffix, factor in _BINARY.items()},
    "n": Decimal("1e-9"),
    "u": Decimal("1e-6"),
    "m": Decimal("1e-3"),
    "": Decimal(1),
    "k": Decimal("1e3"),
    "M": Decimal("1e6"),
    "G": Decimal("1e9"),
    "T": Decimal("1e12"),
    "P": Decimal("1e15"),
    "E": Decimal("1e18"),
}
# The exponent of `1e3` and `1E3` belongs to the number; the E of `1E` is a suffix.
_QUANTITY = re.compile(r"([+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)([a-zA-Z]*)")


def parse_quantity(text: str) -> Decimal:
    """`100m`, `2Gi`, `1e3`. Raises `ValueError` for anything else."""
    match = _QUANTITY.fullmatch(text)
    factor = _FACTORS.get(match.group(2)) if match else None
    if match is None or factor is None:
        raise ValueError(f"{text!r} is no quantity")
    return Decimal(match.group(1)) * factor


def in_units_of(quantity: Decimal, divisor: Decimal) -> int:
    """Rounded up, as the downward API does."""
    return math.ceil(quantity / divisor)
