"""The garbage collector of a process that serves."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def uncollected() -> Iterator[None]:
    """Within it nothing is looked at: imports make objects that stay."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def spare_the_collector(*thresholds: int) -> None:
    """Let it look neither at what the process has now, which stays, nor at each few hundred new objects.

    What is not in a cycle is freed at once, as ever.

    Args:
        thresholds: of `gc.set_threshold`.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*thresholds)
