"""The process behind `bounded.BoundedWorker`: answers one request after the other, within its bounds.

Started as `python -I -m lorapool_common.bounded.child MODULE MEMORY_BYTES CPU_S`; the module's `answer(bytes) -> bytes`
does the work. Requests and replies are 8 bytes of length, little-endian, and so many bytes; a reply's first byte says
whether it is one (`=`) or the memory did not suffice (`m`). Before the first request comes a reply without content.
"""

import contextlib
import importlib
import math
import os
import resource
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, Final

LENGTH_BYTES: Final = 8
ANSWER: Final = b"="
NO_MEMORY: Final = b"m"
# Where /proc does not say what this process takes: more than an interpreter with a module of ours does.
_WITHOUT_PROC_BYTES: Final = 512 * 1024 * 1024


def main() -> None:
    module, memory_bytes, cpu_s = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
    # Ctrl-C in a terminal is for the process that started this one; it ends this one by closing the pipe.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    answer: Callable[[bytes], bytes] = importlib.import_module(module).answer
    _limit_memory(memory_bytes)
    # What a library prints must not end up among the replies.
    replies = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    with contextlib.suppress(BrokenPipeError):
        _serve(sys.stdin.buffer, replies, answer, cpu_s)


def _serve(requests: BinaryIO, replies: BinaryIO, answer: Callable[[bytes], bytes], cpu_s: float) -> None:
    _send(replies, b"")
    while (request := _receive(requests)) is not None:
        _limit_cpu(cpu_s)
        try:
            reply = ANSWER + answer(request)
        except MemoryError:
            _send(replies, NO_MEMORY)
            return  # a heap that was full is no place for the next
        _send(replies, reply)


def _limit_memory(more_bytes: int) -> None:
    """Limit the address space to so much more than the process has now."""
    try:
        here_bytes = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    except OSError:
        here_bytes = _WITHOUT_PROC_BYTES
    bound = here_bytes + more_bytes
    resource.setrlimit(resource.RLIMIT_AS, (bound, bound))


def _limit_cpu(more_s: float) -> None:
    """Limit the processor time from now on; beyond it the kernel ends the process with SIGXCPU."""
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    resource.setrlimit(resource.RLIMIT_CPU, (math.ceil(time.process_time() + more_s), hard))


def _send(pipe: BinaryIO, content: bytes) -> None:
    pipe.write(len(content).to_bytes(LENGTH_BYTES, "little"))
    pipe.write(content)
    pipe.flush()


def _receive(pipe: BinaryIO) -> bytes | None:
    """The next request, or None where the other side has gone."""
    length = int.from_bytes(pipe.read(LENGTH_BYTES), "little")
    content = pipe.read(length)
    return content if length and len(content) == length else None


if __name__ == "__main__":
    main()
