"""CUDA's small surface without a GPU: streams that are late, events, pinned buffers, figures of memory.

What is copied with `non_blocking=True` in a stream of its own happens only when somebody waits for that stream, or for
an event in it: a copy that nobody waited for, or a buffer that is filled again too early, gives wrong numbers.
"""

import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode


@dataclass(eq=False)
class Stream:
    """What waits, in its order."""

    waiting: deque[Callable[[], object]] = field(default_factory=deque)
    waited: int = 0
    follows: list["Stream"] = field(default_factory=list)

    def synchronize(self) -> None:
        self.waited += 1
        while self.waiting:
            self.waiting.popleft()()

    def wait_stream(self, other: "Stream") -> None:
        self.follows.append(other)


@dataclass(eq=False)
class Event:
    """Recorded into a stream: all that the stream was told before it."""

    reached: bool = True
    stream: Stream | None = None
    at_s: float = 0.0

    def record(self, stream: Stream | None = None) -> None:
        self.stream, self.reached, self.at_s = stream, stream is None, time.perf_counter()
        if stream is not None:
            stream.waiting.append(self._reach)

    def synchronize(self) -> None:
        while not self.reached and self.stream is not None:
            self.stream.waiting.popleft()()

    def elapsed_time(self, later: "Event") -> float:
        return (later.at_s - self.at_s) * 1000

    def _reach(self) -> None:
        self.reached = True


class _Late(TorchDispatchMode):  # type: ignore[no-untyped-call]
    def __init__(self, stream: Stream, copied: list[int]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._stream = stream
        self._copied = copied

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        late = func is torch.ops.aten.copy_.default and len(args) > 2 and args[2]
        if not late:
            return func(*args, **(kwargs or {}))
        self._stream.waiting.append(partial(_copy, args[0], args[1]))
        self._copied.append(args[0].numel() * args[0].element_size())
        return args[0]


@torch.inference_mode()
def _copy(target: torch.Tensor, source: torch.Tensor) -> None:
    target.copy_(source)


@dataclass
class FakeCuda:
    """See `cuda_api.CudaApi`. A test sets the figures; `lost` makes every call fail as after a sticky error, and
    after so many uploads as are left the device is full.

    `copied_late` has the bytes of each copy that was to happen beside something else."""

    total_bytes: int = 24 * 1024**3
    taken_bytes: int = 0
    peak_bytes: int = 0
    lost: bool = False
    streams: list[Stream] = field(default_factory=list)
    recorded: list[tuple[torch.Tensor, object]] = field(default_factory=list)
    pinned_bytes: int = 0
    copied_late: list[int] = field(default_factory=list)
    emptied: int = 0
    waited_for_all: int = 0
    uploads_left: int | None = None

    main: Stream = field(default_factory=Stream)

    def stream_of_its_own(self, device: torch.device) -> Stream:
        self.streams.append(Stream())
        return self.streams[-1]

    def main_stream(self, device: torch.device) -> Stream:
        return self.main

    def in_stream(self, stream: Stream) -> AbstractContextManager[object]:
        if self.uploads_left is not None:
            self.uploads_left -= 1
            if self.uploads_left < 0:
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return _in(stream, self.copied_late)

    def event(self, *, timing: bool) -> Event:
        return Event()

    def pinned(self, size_bytes: int) -> torch.Tensor:
        self.pinned_bytes += size_bytes
        return torch.empty(size_bytes, dtype=torch.uint8)

    def record_stream(self, tensor: torch.Tensor, stream: object) -> None:
        self.recorded.append((tensor, stream))

    def mem_get_info(self, device: torch.device) -> tuple[int, int]:
        return self.total_bytes - self.taken_bytes, self.total_bytes

    def memory_allocated(self, device: torch.device) -> int:
        return self.taken_bytes

    def memory_reserved(self, device: torch.device) -> int:
        return self.taken_bytes

    def max_memory_allocated(self, device: torch.device) -> int:
        return max(self.taken_bytes, self.peak_bytes)

    def reset_peak_memory_stats(self, device: torch.device) -> None:
        self.peak_bytes = 0

    def synchronize(self, device: torch.device) -> None:
        self.waited_for_all += 1
        if self.lost:
            raise torch.AcceleratorError("CUDA error: an illegal memory access was encountered")

    def empty_cache(self) -> None:
        self.emptied += 1


@contextmanager
def _in(stream: Stream, copied: list[int]) -> Iterator[None]:
    with _Late(stream, copied):
        yield
