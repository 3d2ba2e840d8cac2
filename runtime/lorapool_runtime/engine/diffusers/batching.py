"""How many pictures to make in one forward: measured, since it depends on device, base and size."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import torch

# A batch makes its first picture wait for its last: it must be worth that.
_WORTH: Final = 0.9


@dataclass(frozen=True)
class Batching:
    """A batch of `rows` pictures pays for pictures of up to `pixels`."""

    rows: int = 1
    pixels: int = 0

    def rows_for(self, pixels: int) -> int:
        return self.rows if pixels <= self.pixels else 1


def measure(make: Callable[[int], object], most_rows: int, pixels: int) -> Batching:
    """Time forwards of 1, 2, 4 ... pictures.

    Args:
        make: runs one step of so many pictures of `pixels` each.
    """
    best_rows, best_s, rows = 1, _seconds(make, 1), 2
    while rows <= most_rows:
        try:
            each_s = _seconds(make, rows) / rows
        except torch.OutOfMemoryError:
            torch.cuda.empty_cache()
            break
        if each_s < best_s * _WORTH:
            best_rows, best_s = rows, each_s
        rows *= 2
    return Batching(best_rows, pixels)


def _seconds(make: Callable[[int], object], rows: int) -> float:
    make(rows)  # the first one warms up
    start = time.perf_counter()
    make(rows)
    return time.perf_counter() - start
