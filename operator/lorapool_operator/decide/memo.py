"""A pure function that is not asked the same again."""

from collections.abc import Callable
from typing import Generic, TypeVar

Input = TypeVar("Input")
Result = TypeVar("Result")


class Memo(Generic[Input, Result]):
    """The function, with its last result under each key, returned for as long as the input is equal.

    The input holds all that the function may read, so nothing can be forgotten in the comparison. Equal objects that
    are the same object are compared in no time: a pass over thousands of adapters compares mostly those, since the
    newest of equal inputs is kept.
    """

    def __init__(self, make: Callable[[Input], Result], key_of: Callable[[Input], str] = lambda _: "") -> None:
        self._make = make
        self._key_of = key_of
        self._kept: dict[str, tuple[Input, Result]] = {}

    def __call__(self, given: Input) -> Result:
        """Raises: what the function raises; that is not kept."""
        key = self._key_of(given)
        kept = self._kept.get(key)
        result = kept[1] if kept is not None and kept[0] == given else self._make(given)
        self._kept[key] = (given, result)
        return result

    def last(self, key: str) -> Input | None:
        """What was asked last under that key."""
        kept = self._kept.get(key)
        return None if kept is None else kept[0]

    def __contains__(self, key: str) -> bool:
        """Whether a result is kept under that key."""
        return key in self._kept

    def forget(self, key: str) -> None:
        """Keep nothing under that key."""
        self._kept.pop(key, None)
