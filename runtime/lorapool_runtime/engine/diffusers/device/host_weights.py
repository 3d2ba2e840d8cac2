"""A base that leaves the device for a while: its tensors wait in host memory, and come back as they were."""

from collections.abc import Callable, Hashable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from lorapool_runtime.engine.contract import Stop
from lorapool_runtime.engine.diffusers.device.accelerator import Accelerator
from lorapool_runtime.engine.diffusers.packed.weights import has_state, is_packed
from lorapool_runtime.engine.files.host_memory import available_bytes
from lorapool_runtime.errors import CannotSleep, CannotWake, Stopped

# What a process needs beside: it shall not be killed for want of memory because it sleeps.
_BESIDE: float = 1.1


@dataclass(frozen=True, eq=False)
class _Slot:
    """Where a module keeps a tensor: one of its dictionaries, and the name in it."""

    kept: dict[str, Any]
    name: str


class HostWeights:
    """The parameters and buffers of a base. For the engine's thread.

    Modules stay what they are, and whoever knows them: their tensors are exchanged. Host memory is pageable: torch's
    allocator of pinned memory rounds up to powers of two. What comes back goes through the pinned buffers that adapters
    go through, too.
    """

    def __init__(
        self,
        modules: Iterable[nn.Module],
        accelerator: Accelerator,
        room_bytes: Callable[[], int] = available_bytes,
    ) -> None:
        """`room_bytes`: host memory that the process may still take."""
        self._modules = tuple(modules)
        self._accelerator = accelerator
        self._room_bytes = room_bytes
        self._asleep: dict[Hashable, tuple[torch.Tensor, list[_Slot]]] | None = None

    @property
    def are_in_host_memory(self) -> bool:
        """Whether they have left; where the device is the host they never do."""
        return self._asleep is not None

    def leave(self, stop: Stop) -> None:
        """To host memory. Raises: CannotSleep, Stopped: all is where it was."""
        if self._asleep is not None or self._accelerator.memory() is None:
            return
        if any(has_state(module) for module in self._modules_of_modules()):
            raise CannotSleep(
                "the base is quantized by bitsandbytes or in a GGUF file, which cannot sleep: take int8 or fp8"
            )
        found = self._found()
        needed, room = sum(_size_bytes(tensor) for tensor, _ in found.values()), self._room_bytes()
        if needed * _BESIDE > room:
            raise CannotSleep(
                f"the base takes {needed} bytes, and host memory has room for {room}: give the pod more memory"
            )
        # All of it is copied before anything is let go: who gives up here has changed nothing.
        copies: dict[Hashable, tuple[torch.Tensor, list[_Slot]]] = {}
        for key, (tensor, slots) in found.items():
            if stop():
                raise Stopped
            copies[key] = (_to_host(tensor), slots)
        self._accelerator.synchronize()
        _put(copies.values())
        self._asleep = copies

    def come_back(self) -> None:
        """To the device, bit by bit what they were. Raises: CannotWake: they stay in host memory."""
        if self._asleep is None:
            return
        try:
            back = [(self._to_device(tensor), slots) for tensor, slots in self._asleep.values()]
        except torch.OutOfMemoryError as error:
            raise CannotWake("the device has no room for the base model to come back: somebody else took it") from error
        _put(back)
        self._asleep = None

    def _modules_of_modules(self) -> Iterator[nn.Module]:
        seen: set[int] = set()
        for top in self._modules:
            for module in top.modules():
                if id(module) not in seen:
                    seen.add(id(module))
                    yield module

    def _found(self) -> dict[Hashable, tuple[torch.Tensor, list[_Slot]]]:
        """Each tensor once, with all the places where modules keep it: some are tied, or share their memory."""
        found: dict[Hashable, tuple[torch.Tensor, list[_Slot]]] = {}
        for module in self._modules_of_modules():
            for kept in (module._parameters, module._buffers):
                for name, tensor in kept.items():
                    if tensor is not None:
                        found.setdefault(_memory(tensor), (tensor, []))[1].append(_Slot(kept, name))
        return found

    def _to_device(self, tensor: torch.Tensor) -> torch.Tensor:
        if is_packed(tensor):
            return tensor.to(self._accelerator.device)
        if not tensor.numel():
            return torch.empty_like(tensor, device=self._accelerator.device)
        # `_to_host` leaves no gaps, in whatever order the dimensions lie.
        flat = tensor.detach().as_strided((tensor.numel(),), (1,))
        return self._accelerator.upload(flat).as_strided(tensor.shape, tensor.stride())


def _to_host(tensor: torch.Tensor) -> torch.Tensor:
    if is_packed(tensor):
        return tensor.detach().to("cpu")
    there = tensor.detach()
    return torch.empty_like(there, device="cpu").copy_(there)


def _put(tensors: Iterable[tuple[torch.Tensor, list[_Slot]]]) -> None:
    for tensor, slots in tensors:
        parameter = nn.Parameter(tensor, requires_grad=False)
        for slot in slots:
            slot.kept[slot.name] = parameter if isinstance(slot.kept[slot.name], nn.Parameter) else tensor


def _memory(tensor: torch.Tensor) -> Hashable:
    """The same for tensors that are the same numbers in the same memory."""
    if is_packed(tensor) or not tensor.numel():
        return id(tensor)
    return tensor.data_ptr(), tuple(tensor.shape), tensor.stride(), tensor.dtype


def _size_bytes(tensor: torch.Tensor) -> int:
    return tensor.numel() * tensor.element_size()
