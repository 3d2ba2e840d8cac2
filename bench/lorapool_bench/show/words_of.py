"""Numbers for people."""

from typing import Final

_GIB: Final = 2**30


def seconds(value: float) -> str:
    """With three digits, in the unit that suits."""
    if abs(value) >= 1:
        return f"{value:.3g} s" if abs(value) < 100 else f"{value:.0f} s"
    if abs(value) >= 1e-3:
        return f"{value * 1e3:.3g} ms"
    return f"{value * 1e6:.0f} µs" if abs(value) >= 1e-6 else f"{value * 1e9:.0f} ns"


def times(value: float) -> str:
    """A ratio."""
    return f"{value:,.0f} ×" if value >= 10 else f"{value:.2g} ×"


def gib(value: float) -> str:
    return f"{value / _GIB:.1f} GiB"


def megabytes(value: float) -> str:
    return f"{value / 1e6:.3g} MB"


def share(value: float) -> str:
    return f"{value * 100:.3g} %"


def error(value: float) -> str:
    return f"{value:.1e}"
