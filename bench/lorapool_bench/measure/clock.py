"""Stop watches."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch


def wait(device: str) -> None:
    """Until the device has done all that it was asked to."""
    if device == "cuda":
        torch.cuda.synchronize()


def timed(work: Callable[[], object], device: str = "cpu") -> float:
    """Seconds until it is done."""
    start = time.perf_counter()
    work()
    wait(device)
    return time.perf_counter() - start


class Parts(dict[str, float]):
    """Seconds of each part of something, in their order."""

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        start = time.perf_counter()
        yield
        self[name] = self.get(name, 0.0) + time.perf_counter() - start
