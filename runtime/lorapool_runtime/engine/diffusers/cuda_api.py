"""What of CUDA is used here, by the names of `torch.cuda`."""

from contextlib import AbstractContextManager
from typing import Any, Protocol

import torch


class CudaApi(Protocol):
    """Small enough that a test can stand in for it."""

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
