"""An event loop whose clock jumps to the next timer: what takes an hour takes no time, and is exact to the microsecond.

For tests without I/O. Where nothing is scheduled, so that a test would hang, it fails at once. (`looptime`, which kopf
takes for its own tests, waits in real time there.)
"""

import asyncio
import selectors
from collections.abc import Callable
from typing import Final

# More turns of the loop than anything in memory needs to come to rest.
_TURNS: Final = 100
_STEP_S: Final = 0.01


class _Clock(selectors.SelectSelector):
    """Advances where the loop would wait."""

    def __init__(self) -> None:
        super().__init__()
        self.now_s = 1000.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if ready:
            return ready
        if timeout is None:
            raise RuntimeError("every task waits for another: in real time this test would hang")
        self.now_s += max(0.0, timeout)
        return []


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """Timers come in their order, without waiting."""

    def __init__(self) -> None:
        self._virtual = _Clock()
        super().__init__(self._virtual)

    def time(self) -> float:
        return self._virtual.now_s


def now_s() -> float:
    """The running loop's time: what code under test gets for a clock."""
    return asyncio.get_running_loop().time()


async def elapse(seconds: float) -> None:
    """Let everything happen that does within that time, its end included."""
    await asyncio.sleep(seconds)
    await rest()


async def rest() -> None:
    """Let everything happen that takes no time."""
    for _ in range(_TURNS):
        await asyncio.sleep(0)


async def until(holds: Callable[[], object], deadline_s: float = 3600.0) -> float:
    """Let time pass until it holds; how much it was.

    Raises:
        AssertionError: it did not in that time.
    """
    began_s = now_s()
    while not holds():
        assert now_s() - began_s <= deadline_s, f"after {deadline_s:g} s still not so"
        await asyncio.sleep(_STEP_S)
    return now_s() - began_s
