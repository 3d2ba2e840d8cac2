"""How many threads the calling thread computes with on the host; other threads keep theirs.

OpenMP gives each thread that computes helpers of its own, which stay as long as it does. Where all of them together
are more than the cores, libgomp lets none wait actively: each operation of the engine then begins by waking threads.
"""

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import torch

# OpenMP and MKL as torch has loaded them; where it was built without, they are not found.
_LIBRARIES: Final = ctypes.CDLL(torch._C.__file__)


@contextmanager
def one_thread() -> Iterator[None]:
    """Without helpers while it lasts. `torch.set_num_threads` would do so for all threads of the process, in MKL."""
    # Asked first: torch sets a thread's number when it is asked for the first time.
    before = torch.get_num_threads()
    of_mkl = _call("MKL_Set_Num_Threads_Local", 1)
    _call("omp_set_num_threads", 1)
    try:
        yield
    finally:
        _call("omp_set_num_threads", before)
        _call("MKL_Set_Num_Threads_Local", of_mkl)


def _call(function: str, threads: int) -> int:
    """Of the calling thread alone. Returns: what MKL had for it, 0 for the process's number."""
    found: Any = getattr(_LIBRARIES, function, None)
    return 0 if found is None else int(found(threads))
