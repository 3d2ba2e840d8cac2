"""What the engine asks of a device besides tensors: copies beside its kernels, figures of its memory, time."""

import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Final, Protocol

import torch

from lorapool_api.kinds.runtime import Device

# Two of them: the host fills one while the device reads the other.
STAGING_BYTES: Final = 32 * 1024**2


@dataclass(frozen=True)
class MemoryInfo:
    """Of a device. What the allocator keeps for later counts as free."""

    total_bytes: int
    free_bytes: int


class Accelerator(Protocol):
    """One device. Not thread-safe but where it says so."""

    @property
    def device(self) -> torch.device: ...

    def upload(self, flat: torch.Tensor) -> torch.Tensor:
        """A one-dimensional tensor on the device, whole when this returns; kernels that run meanwhile go on.

        One upload at a time, on any thread. Raises: torch.OutOfMemoryError.
        """

    def memory(self) -> MemoryInfo | None:
        """None where the device's memory is nobody's to measure: a process that takes too much of a host is killed."""

    def peak_bytes(self, work: Callable[[], object]) -> int:
        """The most memory that was taken at once while this ran, beyond what was taken before; 0 where unknown."""

    def seconds(self, work: Callable[[], object]) -> float:
        """How long the device works on this, its launches as they come: nothing waits in between."""

    def synchronize(self) -> None:
        """Wait for all that was launched. Raises: RuntimeError: what has failed on the device."""

    def wait_for_render(self) -> None:
        """Wait for what the engine launched; uploads for requests that wait go on."""

    def empty_cache(self) -> None:
        """Give back what the allocator keeps for later."""


class Cpu:
    """See `Accelerator`. What is in host memory is where it is needed."""

    device: Final = torch.device("cpu")

    def upload(self, flat: torch.Tensor) -> torch.Tensor:
        return flat

    def memory(self) -> None:
        return None

    def peak_bytes(self, work: Callable[[], object]) -> int:
        work()
        return 0

    def seconds(self, work: Callable[[], object]) -> float:
        start = time.perf_counter()
        work()
        return time.perf_counter() - start

    def synchronize(self) -> None:
        pass

    def wait_for_render(self) -> None:
        pass

    def empty_cache(self) -> None:
        pass


class CudaApi(Protocol):
    """What of CUDA is used here, by the names of `torch.cuda`: small enough that a test can stand in for it."""

    def stream_of_its_own(self, device: torch.device) -> Any: ...
    def main_stream(self, device: torch.device) -> Any: ...
    def in_stream(self, stream: Any) -> AbstractContextManager[object]: ...
    def event(self, *, timing: bool) -> Any: ...
    def pinned(self, size_bytes: int) -> torch.Tensor: ...
    def record_stream(self, tensor: torch.Tensor, stream: Any) -> None: ...
    def mem_get_info(self, device: torch.device) -> tuple[int, int]: ...
    def memory_allocated(self, device: torch.device) -> int: ...
    def memory_reserved(self, device: torch.device) -> int: ...
    def max_memory_allocated(self, device: torch.device) -> int: ...
    def reset_peak_memory_stats(self, device: torch.device) -> None: ...
    def synchronize(self, device: torch.device) -> None: ...
    def empty_cache(self) -> None: ...


class TorchCuda:
    """See `CudaApi`: torch's own."""

    def stream_of_its_own(self, device: torch.device) -> Any:
        return torch.cuda.Stream(device)  # type: ignore[no-untyped-call]

    def main_stream(self, device: torch.device) -> Any:
        return torch.cuda.default_stream(device)

    def in_stream(self, stream: Any) -> AbstractContextManager[object]:
        return torch.cuda.stream(stream)

    def event(self, *, timing: bool) -> Any:
        return torch.cuda.Event(enable_timing=timing)  # type: ignore[no-untyped-call]

    def pinned(self, size_bytes: int) -> torch.Tensor:
        return torch.empty(size_bytes, dtype=torch.uint8, pin_memory=True)

    def record_stream(self, tensor: torch.Tensor, stream: Any) -> None:
        tensor.record_stream(stream)

    def mem_get_info(self, device: torch.device) -> tuple[int, int]:
        return torch.cuda.mem_get_info(device)

    def memory_allocated(self, device: torch.device) -> int:
        return torch.cuda.memory_allocated(device)

    def memory_reserved(self, device: torch.device) -> int:
        return torch.cuda.memory_reserved(device)

    def max_memory_allocated(self, device: torch.device) -> int:
        return torch.cuda.max_memory_allocated(device)

    def reset_peak_memory_stats(self, device: torch.device) -> None:
        torch.cuda.reset_peak_memory_stats(device)

    def synchronize(self, device: torch.device) -> None:
        torch.cuda.synchronize(device)

    def empty_cache(self) -> None:
        torch.cuda.empty_cache()


@dataclass(frozen=True)
class _Staging:
    """A pinned buffer, and the event after the last copy out of it."""

    buffer: torch.Tensor
    left: Any


class Cuda:
    """See `Accelerator`.

    Adapters wait in pageable host memory: torch's allocator of pinned memory rounds up to powers of two, and keeps
    what was freed. Two pinned buffers are enough to copy as fast as the bus takes it.
    """

    def __init__(self, device: torch.device, api: CudaApi | None = None, staging_bytes: int = STAGING_BYTES) -> None:
        self.device = device
        self._staging_bytes = staging_bytes
        self._api: CudaApi = TorchCuda() if api is None else api
        self._stream: Any = None
        self._ring: tuple[_Staging, ...] = ()

    def upload(self, flat: torch.Tensor) -> torch.Tensor:
        size = self._staging_bytes
        if self._stream is None:
            self._stream = self._api.stream_of_its_own(self.device)
            self._ring = tuple(_Staging(self._api.pinned(size), self._api.event(timing=False)) for _ in range(2))
        source = flat.view(torch.uint8)
        # Sidecars the kernels of what runs now. Allocated in this stream: memory of the main stream may still be read
        # there by kernels that run, though the host has freed it.
        with self._api.in_stream(self._stream):
            target = torch.empty_like(source, device=self.device)
            for i, begin in enumerate(range(0, len(source), size)):
                staging = self._ring[i % len(self._ring)]
                staging.left.synchronize()
                part = source[begin : begin + size]
                staged = staging.buffer[: len(part)].copy_(part)
                target[begin : begin + len(part)].copy_(staged, non_blocking=True)
                staging.left.record(self._stream)
        self._stream.synchronize()
        # Its memory must not be given to the next copy while kernels of the main stream still read it.
        self._api.record_stream(target, self._api.main_stream(self.device))
        return target.view(flat.dtype)

    def memory(self) -> MemoryInfo:
        free, total = self._api.mem_get_info(self.device)
        kept = self._api.memory_reserved(self.device) - self._api.memory_allocated(self.device)
        return MemoryInfo(total, free + kept)

    def peak_bytes(self, work: Callable[[], object]) -> int:
        self._api.reset_peak_memory_stats(self.device)
        before = self._api.memory_allocated(self.device)
        work()
        return self._api.max_memory_allocated(self.device) - before

    def seconds(self, work: Callable[[], object]) -> float:
        begun, done = (self._api.event(timing=True) for _ in range(2))
        begun.record()
        work()
        done.record()
        done.synchronize()
        return float(begun.elapsed_time(done)) / 1000

    def synchronize(self) -> None:
        self._api.synchronize(self.device)

    def wait_for_render(self) -> None:
        self._api.main_stream(self.device).synchronize()

    def empty_cache(self) -> None:
        self._api.empty_cache()


def accelerator_of(device: Device) -> Accelerator:
    """Nothing is asked of the device yet: it may be missing."""
    return Cuda(torch.device("cuda")) if device is Device.CUDA else Cpu()
