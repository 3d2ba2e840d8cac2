"""What is another than before: a pass over thousands of adapters decides about those alone."""

from collections.abc import Mapping
from typing import Final, TypeVar

Value = TypeVar("Value")
_NONE: Final = object()


def changed_keys(before: Mapping[str, Value], now: Mapping[str, Value]) -> set[str]:
    """Keys whose value is another object than before, or that came or went.

    For values that are replaced and never changed: the same object says the same. Another object may say the same too.
    """
    if before is now:
        return set()
    changed = {key for key, value in now.items() if before.get(key, _NONE) is not value}
    came = sum(key not in before for key in changed)
    if len(before) + came != len(now):
        changed |= before.keys() - now.keys()
    return changed


def differing_keys(before: Mapping[str, Value], now: Mapping[str, Value]) -> set[str]:
    """Keys whose value is unequal to that before, or that came or went."""
    return {key for key in changed_keys(before, now) if before.get(key, _NONE) != now.get(key, _NONE)}
