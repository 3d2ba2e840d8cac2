"""A busy event loop: the collector of garbage does not hold it up, and long work on it gives its core away."""

import subprocess
import sys

import pytest

from lorapool_runtime.turns import LongWork, in_slices

_MANY = """
import gc
from lorapool_runtime.turns import prefer_the_loop
prefer_the_loop()
before = gc.get_stats()
kept = [[number] for number in range(300_000)]
made = [now["collections"] - then["collections"] for then, now in zip(before, gc.get_stats())]
for number in range(100_000):
    cycle = []
    cycle.append(cycle)
del cycle
found = gc.get_stats()[1]["collected"] + gc.get_stats()[0]["collected"]
print(made[2], found)
"""


def test_what_stays_is_not_looked_through_again_and_what_goes_soon_is_found() -> None:
    said = subprocess.run([sys.executable, "-c", _MANY], capture_output=True, text=True, check=True, timeout=60)
    looked_through, found = map(int, said.stdout.split())
    assert looked_through == 0
    assert found > 50_000


class SliceClock:
    """A clock that only work and rests move on.

    Attributes:
        rests: of the work, in seconds.
    """

    def __init__(self) -> None:
        self.now_s = 0.0
        self.rests: list[float] = []

    def __call__(self) -> float:
        return self.now_s

    async def sleep(self, rest_s: float) -> None:
        self.rests.append(rest_s)
        self.now_s += rest_s


async def test_work_that_takes_long_rests_for_longer_than_it_had_the_core() -> None:
    clock = SliceClock()
    work = LongWork(clock, clock.sleep)
    for _ in range(100):
        clock.now_s += 0.002
        await work.pause()
    assert clock.rests[:49] == [0.0] * 49
    assert clock.rests[51:] == pytest.approx([0.004] * 49)


async def test_a_slice_that_waited_for_a_core_itself_does_not_make_the_rest_endless() -> None:
    clock = SliceClock()
    work = LongWork(clock, clock.sleep)
    clock.now_s += 5.0
    await work.pause()
    assert clock.rests == [0.02]


async def test_all_items_come_in_their_order() -> None:
    assert [item async for item in in_slices(range(103), 50)] == list(range(103))
