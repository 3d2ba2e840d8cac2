"""How the C library's allocator gives memory back."""

import ctypes
from typing import Final

# mallopt(3).
_M_TRIM_THRESHOLD: Final = -1
_M_MMAP_THRESHOLD: Final = -3
_M_ARENA_MAX: Final = -8
# Pieces of bodies and images of the usual size are smaller: mapped by themselves, each of them would have all of its
# pages taken from the system and zeroed.
_LARGE_BYTES: Final = 1 << 20
# So much may stay with the process at the end of its heap.
_KEPT_BYTES: Final = 16 << 20


def share_one_heap() -> bool:
    """Have all threads take memory from one heap: what one gives back, all others can use.

    Else each thread has a heap of its own: pieces of bodies that threads read from files stay with the process in as
    many places. Threads of one interpreter do not wait for each other there any more than for the interpreter.

    Returns:
        Whether the C library takes the setting; musl does not have it, and has one heap.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    return bool(mallopt and mallopt(_M_ARENA_MAX, 1))


def give_back_large_blocks() -> bool:
    """Have blocks of 1 MiB and more mapped by themselves, so that the system has them back when they are freed.

    glibc raises that bound to the largest block that was freed, up to 32 MiB. Bodies of requests then come from a heap
    whose holes stay with the process for as long as anything small lies behind them.

    Returns:
        Whether the C library takes the setting; musl does not have it.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    return bool(mallopt and mallopt(_M_MMAP_THRESHOLD, _LARGE_BYTES) and mallopt(_M_TRIM_THRESHOLD, _KEPT_BYTES))
