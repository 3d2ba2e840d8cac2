"""How many pictures to make in one forward: measured, since it depends on device, base and size."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from lorapool_runtime.engine.diffusers.device.faults import is_full

# A batch is taken where it makes a picture in at most this share of the time: its first one waits for its last.
_MOST_SHARE: Final = 0.9


@dataclass(frozen=True)
class Batching:
    """A batch of `rows` pictures pays for pictures of up to `pixels`."""

    rows: int = 1
    pixels: int = 0

    def rows_for(self, pixels: int) -> int:
        return self.rows if pixels <= self.pixels else 1


def measure(
    make: Callable[[int], object],
    most_rows: int,
    pixels: int,
    free: Callable[[], None] = lambda: None,
    clock: Callable[[], float] = time.perf_counter,
) -> Batching:
    """Time forwards of 1, 2, 4 ... pictures.

    Args:
        make: makes so many pictures of `pixels` each in one step, and decodes them: that needs room too.
        free: called after what did not fit.
    """
    best_rows, best_s, rows = 1, _seconds(make, 1, clock), 2
    while rows <= most_rows:
        took_s = _tried_s(make, rows, clock)
        if took_s is None:
            free()
            break
        each_s = took_s / rows
        if each_s < best_s * _MOST_SHARE:
            best_rows, best_s = rows, each_s
        rows *= 2
    return Batching(best_rows, pixels)


def _tried_s(make: Callable[[int], object], rows: int, clock: Callable[[], float]) -> float | None:
    """None where the device is full."""
    try:
        return _seconds(make, rows, clock)
    except RuntimeError as error:
        if not is_full(error):
            raise
        return None


def _seconds(make: Callable[[int], object], rows: int, clock: Callable[[], float]) -> float:
    make(rows)  # the first one warms up
    start = clock()
    make(rows)
    return clock() - start
