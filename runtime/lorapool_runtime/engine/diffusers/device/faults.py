"""What an error of the device means: it is full, or it is lost."""

from collections.abc import Callable

import structlog
import torch

from lorapool_runtime.engine.diffusers.base.hub import first_line
from lorapool_runtime.errors import DeviceLost

log = structlog.get_logger(__name__)

# What libraries say whose own allocations find no room; torch's allocator has a class for it.
_FULL = ("out of memory", "ALLOC_FAILED")


def is_full(error: BaseException) -> bool:
    """Whether the device has no room. It goes on working."""
    if isinstance(error, torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and any(words in str(error) for words in _FULL)


def check_alive(first: Exception, canary: Callable[[], None]) -> None:
    """After an error that nobody expected: does the device still work?

    A broken context fails every call that comes after, whatever the error was called. So a small piece of work tells
    for sure, and a request that is itself at fault never ends a process whose device is well.

    Args:
        first: that error.
        canary: work that has gone well before. Raises what the device says.

    Raises:
        DeviceLost: the canary failed too.
    """
    try:
        canary()
    except Exception as error:  # noqa: BLE001 -- whatever it is, small work that went well before did not now
        if is_full(error):
            return
        log.error("the device is lost", error=first_line(first), canary=first_line(error))  # noqa: TRY400
        raise DeviceLost(f"the device does not work any more: {first_line(first)}") from first
