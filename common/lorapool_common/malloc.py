"""How the C library's allocator gives memory back."""

import ctypes
from typing import Final

# mallopt(3).
_M_TRIM_THRESHOLD: Final = -1
_M_MMAP_THRESHOLD: Final = -3
# Pieces of bodies and images of the usual size are smaller: mapped by themselves, each of them would have all of its
# pages taken from the system and zeroed.
_LARGE_BYTES: Final = 1 << 20
# So much may stay with the process at the end of its heap.
_KEPT_BYTES: Final = 16 << 20


def give_back_large_blocks() -> bool:
    """Have blocks of 1 MiB and more mapped by themselves, so that the system has them back when they are freed.

    glibc raises that bound to the largest block that was freed, up to 32 MiB. Bodies of requests then come from a heap
    whose holes stay with the process for as long as anything small lies behind them.

    Returns:
        Whether the C library takes the setting; musl does not have it.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    return bool(mallopt and mallopt(_M_MMAP_THRESHOLD, _LARGE_BYTES) and mallopt(_M_TRIM_THRESHOLD, _KEPT_BYTES))
