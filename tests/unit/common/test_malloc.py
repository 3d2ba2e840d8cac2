"""What threads allocate comes from one heap, where the process says so."""

import subprocess
import sys

import pytest

# How many heaps the C library has, once threads have held memory at the same time.
COUNTED = """
import ctypes, os, sys, tempfile, threading

from lorapool_common.malloc import share_one_heap

libc = ctypes.CDLL(None)
if not hasattr(libc, "mallopt"):
    sys.exit("no glibc")
if sys.argv[1] == "one":
    assert share_one_heap()
together = threading.Barrier(5)

def hold():
    held = bytes(100_000)
    together.wait()
    together.wait()

threads = [threading.Thread(target=hold) for _ in range(4)]
for thread in threads:
    thread.start()
together.wait()
libc.fdopen.restype = ctypes.c_void_p
with tempfile.TemporaryFile() as file:
    stream = ctypes.c_void_p(libc.fdopen(os.dup(file.fileno()), b"w"))
    libc.malloc_info(0, stream)
    libc.fclose(stream)
    file.seek(0)
    print(file.read().count(b"<heap nr="))
together.wait()
"""


def heaps(how: str) -> int:
    found = subprocess.run(
        [sys.executable, "-c", COUNTED, how], capture_output=True, text=True, check=False, timeout=60
    )
    if "no glibc" in found.stderr:
        pytest.skip("musl has one heap")
    assert found.returncode == 0, found.stderr
    return int(found.stdout)


def test_threads_share_one_heap() -> None:
    assert heaps("one") == 1
    assert heaps("many") > 1, "without the setting they do not: the count shows something"
