"""What the engine asks of a device besides tensors: copies beside its kernels, figures of its memory, time."""

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any, Final, Protocol

import torch

from lorapool_api.kinds.runtime import Device
from lorapool_runtime.engine.diffusers.cuda_api import CudaApi, TorchCuda

# Two of them: the host fills one while the device reads the other.
STAGING_BYTES: Final = 32 * 1024**2


@dataclass(frozen=True)
class MemoryInfo:
    """Of a device. What the allocator keeps for later counts as free."""

    total_bytes: int
    free_bytes: int


class Moment(Protocol):
    """When the device has done all that it was told before. For any thread."""

    def since(self, earlier: Any) -> float:
        """Seconds between the two, of one device; waits for this one. Raises: RuntimeError: what failed there."""


# What was copied, once all of it is on the host. Any thread, any number of times. Raises: RuntimeError: what has failed
# on the device.
Download = Callable[[], torch.Tensor]


class Accelerator(Protocol):
    """One device. Not thread-safe but where it says so."""

    @property
    def device(self) -> torch.device: ...

    def upload(self, flat: torch.Tensor) -> torch.Tensor:
        """A one-dimensional tensor on the device, whole when this returns; kernels that run meanwhile go on.

        One upload at a time, on any thread. Raises: torch.OutOfMemoryError.
        """

    def send(self, tensor: torch.Tensor, device: torch.device) -> torch.Tensor:
        """A small tensor of the host on the device, there for the kernels that are launched next. Waits for nothing."""

    def download(self, tensor: torch.Tensor) -> Download:
        """Begin to copy a tensor to the host, beside the kernels that are launched next. Waits for nothing."""

    def beside(self) -> AbstractContextManager[None]:
        """What this thread launches within it works beside what the engine launches, and is done at its end.

        Raises: RuntimeError: what has failed on the device.
        """

    def moment(self) -> Moment:
        """The one after what the engine launched so far. Waits for nothing."""

    def memory(self) -> MemoryInfo | None:
        """None where the device's memory is nobody's to measure: a process that takes too much of a host is killed."""

    def peak_bytes(self, work: Callable[[], object]) -> int:
        """The most memory that was taken at once while this ran, beyond what was taken before; 0 where unknown."""

    def seconds(self, work: Callable[[], object]) -> float:
        """How long the device works on this, its launches as they come: nothing waits in between."""

    def synchronize(self) -> None:
        """Wait for all that was launched. Raises: RuntimeError: what has failed on the device."""

    def empty_cache(self) -> None:
        """Give back what the allocator keeps for later."""


@dataclass(frozen=True)
class _HostMoment:
    """A host has done what it was told when the call returns."""

    at_s: float

    def since(self, earlier: "_HostMoment") -> float:
        return self.at_s - earlier.at_s


class Cpu:
    """See `Accelerator`. What is in host memory is where it is needed."""

    device: Final = torch.device("cpu")

    def upload(self, flat: torch.Tensor) -> torch.Tensor:
        return flat

    def send(self, tensor: torch.Tensor, device: torch.device) -> torch.Tensor:
        return tensor.to(device)

    def download(self, tensor: torch.Tensor) -> Download:
        return lambda: tensor

    def beside(self) -> AbstractContextManager[None]:
        return nullcontext()

    def moment(self) -> _HostMoment:
        return _HostMoment(time.monotonic())

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

    def empty_cache(self) -> None:
        pass


@dataclass(frozen=True)
class _Staging:
    """A pinned buffer, and the event after the last copy out of it."""

    buffer: torch.Tensor
    left: Any


@dataclass(frozen=True)
class _CudaMoment:
    event: Any

    def since(self, earlier: "_CudaMoment") -> float:
        self.event.synchronize()
        return float(earlier.event.elapsed_time(self.event)) / 1000


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
        self._down: Any = None
        self._beside: Any = None

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

    def send(self, tensor: torch.Tensor, device: torch.device) -> torch.Tensor:
        # Of pageable memory the host would wait until it is copied, which is after all that was launched before. The
        # allocator of pinned memory gives none away that a copy still reads.
        source = tensor.contiguous().flatten().view(torch.uint8)
        staged = self._api.pinned(len(source)).copy_(source)
        return staged.to(device, non_blocking=True).view(tensor.dtype).view(tensor.shape)

    def download(self, tensor: torch.Tensor) -> Download:
        if self._down is None:
            self._down = self._api.stream_of_its_own(self.device)
        source = tensor.contiguous().flatten().view(torch.uint8)
        target, done = self._api.pinned(len(source)), self._api.event(timing=False)
        self._down.wait_stream(self._api.main_stream(self.device))
        with self._api.in_stream(self._down):
            target.copy_(source, non_blocking=True)
            done.record(self._down)
        self._api.record_stream(source, self._down)

        def wait() -> torch.Tensor:
            done.synchronize()
            return target.view(tensor.dtype).view(tensor.shape)

        return wait

    @contextmanager
    def beside(self) -> Iterator[None]:
        if self._beside is None:
            self._beside = self._api.stream_of_its_own(self.device)
        with self._api.in_stream(self._beside):
            yield
        self._beside.synchronize()

    def moment(self) -> _CudaMoment:
        event = self._api.event(timing=True)
        event.record(self._api.main_stream(self.device))
        return _CudaMoment(event)

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

    def empty_cache(self) -> None:
        self._api.empty_cache()


def accelerator_of(device: Device) -> Accelerator:
    """Nothing is asked of the device yet: it may be missing."""
    return Cuda(torch.device("cuda")) if device is Device.CUDA else Cpu()
