"""Kubernetes quantities, as far as the node needs them."""

import math
from decimal import Decimal

_BINARY = {"Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40, "Pi": 2**50, "Ei": 2**60}
_DECIMAL = {
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


def parse_quantity(text: str) -> Decimal:
    """`100m`, `2Gi`, `1e3`. Raises `ValueError` for anything else."""
    number = text.rstrip("numkMGTPEi")
    suffix = text[len(number) :]
    # `1e3` and `1E3` are exponents: rstrip leaves them whole, their last character is a digit.
    factor = _BINARY.get(suffix) or _DECIMAL.get(suffix)
    if factor is None or not number:
        raise ValueError(f"{text!r} is no quantity")
    return Decimal(number) * factor


def in_units_of(quantity: Decimal, divisor: Decimal) -> int:
    """Rounded up, as the downward API does."""
    return math.ceil(quantity / divisor)
