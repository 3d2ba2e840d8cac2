"""Waiting for what no event announces: another process, a thread, a file. Nothing else in the tests pauses."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

DEADLINE_S: Final = 30.0
# A look may take as long as what is waited for, in the same event loop: that must have its turns in between.
PAUSE_S: Final = 0.01
READ_PAUSE_S: Final = 0.02

T = TypeVar("T")


async def until(holds: Callable[[], object], what: str = "it holds", deadline_s: float = DEADLINE_S) -> None:
    """Let others run until it holds.

    Raises:
        AssertionError: it did not in time; with what was waited for.
    """
    end = time.monotonic() + deadline_s
    while not holds():
        assert time.monotonic() < end, f"after {deadline_s:g} s still not: {what}"
        await asyncio.sleep(PAUSE_S)


async def until_read(
    read: Callable[[], Awaitable[T]],
    holds: Callable[[T], object],
    what: str = "it holds",
    deadline_s: float = DEADLINE_S,
) -> T:
    """What is read, once it is as wanted.

    Raises:
        AssertionError: it was not in time; with what was read last.
    """
    end = time.monotonic() + deadline_s
    while not holds(value := await read()):
        assert time.monotonic() < end, f"after {deadline_s:g} s still not: {what}; last: {value!r}"
        await asyncio.sleep(READ_PAUSE_S)
    return value


def wait_until(
    holds: Callable[[], object],
    what: str = "it holds",
    deadline_s: float = DEADLINE_S,
    describe: Callable[[], object] = lambda: "",
) -> None:
    """The same without an event loop; `describe` says what was there instead.

    Raises:
        AssertionError: it did not in time.
    """
    end = time.monotonic() + deadline_s
    while not holds():
        assert time.monotonic() < end, f"after {deadline_s:g} s still not: {what}; {describe()}"
        time.sleep(READ_PAUSE_S)
