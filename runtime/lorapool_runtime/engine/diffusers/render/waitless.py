"""Samplers that do not make the host wait for the device at each step.

A pipeline of diffusers gives its scheduler timesteps that are on the device, where the denoiser needs them. To look one
up in a table the host must have it, and waits until the device has done all that it was told; noise and other numbers
of the host are copied so that it waits too. Between two steps the device then has nothing to do.

Here a scheduler counts with timesteps of the host, which were never anywhere else, and what it makes on the host is
sent behind the kernels that run. Single numbers stay on the host: kernels take those as arguments.
"""

import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import torch
from torch.overrides import TorchFunctionMode

# A copy of a host's tensor on a device, there for kernels that are launched from now on.
Send = Callable[[torch.Tensor, torch.device], torch.Tensor]

# Those that calculate on the device: by numbers of the host they would round otherwise in half precision.
_ON_DEVICE: Final = frozenset({"FlowMatchEulerDiscreteScheduler"})


def send_and_wait(tensor: torch.Tensor, device: torch.device) -> torch.Tensor:
    return tensor.to(device)


def waitless(scheduler: Any, send: Send = send_and_wait) -> Any:
    """The same scheduler, not yet told its steps, whose steps wait for nothing.

    Attributes of what is returned, besides those of its kind:
        host_sigmas: the noise levels of its steps on the host, once it has been told them; None where it has none.
    """
    kind: Any = type(scheduler)
    made = _waitless_kind(kind).from_config(scheduler.config)
    made.send = send
    return made


def _as_it_is(self: Any, sample: torch.Tensor, timestep: Any = None) -> torch.Tensor:
    """Of a scheduler that scales no input."""
    return sample


@functools.cache
def _waitless_kind(kind: Any) -> Any:
    """That kind of scheduler, for steps that wait for nothing."""
    base: Any = kind

    class Waitless(base):  # type: ignore[misc]
        """See the module. Pipelines look at the signatures: they are those of the kind."""

        send: Send
        host_sigmas: torch.Tensor | None = None
        _host: torch.Tensor | None = None
        _device = torch.device("cpu")
        timesteps: torch.Tensor
        sigmas: torch.Tensor

        @functools.wraps(base.set_timesteps)
        def set_timesteps(self, *args: Any, **kwargs: Any) -> None:
            given = inspect.signature(base.set_timesteps).bind(self, *args, **kwargs)
            self._device = torch.device(given.arguments.get("device") or "cpu")
            given.arguments["device"] = "cpu"
            base.set_timesteps(*given.args, **given.kwargs)
            self._host = self.timesteps.contiguous()
            self.host_sigmas = getattr(self, "sigmas", None)
            self.timesteps = self._sent(self._host)
            if kind.__name__ in _ON_DEVICE:
                self.sigmas = self._sent(self.sigmas)

        @functools.wraps(getattr(base, "scale_model_input", _as_it_is))
        def scale_model_input(self, sample: torch.Tensor, timestep: Any = None, *args: Any, **kwargs: Any) -> Any:
            # A pipeline that knows its own sampler by its exact class asks this of ours, which is another.
            if not hasattr(base, "scale_model_input"):
                return sample
            with self._stepping():
                return base.scale_model_input(self, sample, self._on_host(timestep), *args, **kwargs)

        @functools.wraps(base.step)
        def step(self, model_output: torch.Tensor, timestep: Any, *args: Any, **kwargs: Any) -> Any:
            with self._stepping():
                return base.step(self, model_output, self._on_host(timestep), *args, **kwargs)

        def _stepping(self) -> "_Sending":
            if self._host is not None:
                self.timesteps = self._host
            return _Sending(self.send)

        def _sent(self, tensor: torch.Tensor) -> torch.Tensor:
            return tensor if self._device.type == "cpu" else self.send(tensor, self._device)

        def _on_host(self, timestep: Any) -> Any:
            """The same timestep on the host: pipelines give views into all of them, whole or from some step on."""
            host = self._host
            if host is None or not isinstance(timestep, torch.Tensor) or timestep.dim():
                return timestep
            is_view = timestep.untyped_storage().nbytes() == host.numel() * host.element_size()
            return host[timestep.storage_offset()] if is_view else timestep

    Waitless.__name__ = Waitless.__qualname__ = kind.__name__
    return Waitless


class _Sending(TorchFunctionMode):
    """Copies from the host to a device wait for nothing while it lasts; single numbers stay where they are."""

    def __init__(self, send: Send) -> None:
        super().__init__()
        self._send = send

    def __torch_function__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        given = dict(kwargs or {})
        if func is torch.Tensor.to and args[0].device.type == "cpu":
            return self._moved(args[0], args[1:], given)
        if func is torch.tensor and given.get("device") is not None:
            device = torch.device(given.pop("device"))
            return self._at(torch.tensor(*args, **given), device)
        if func is torch.ones and args == ((),):
            given.pop("device", None)
        return func(*args, **given)

    def _moved(self, tensor: torch.Tensor, args: Sequence[Any], given: dict[str, Any]) -> torch.Tensor:
        """What `tensor.to(...)` says, in any of its forms."""
        like = next((a for a in (*args, *given.values()) if isinstance(a, torch.Tensor)), None)
        dtypes = [a for a in (*args, *given.values()) if isinstance(a, torch.dtype)]
        devices = [a for a in (*args, given.get("device")) if isinstance(a, str | torch.device)]
        if like is not None:
            dtypes, devices = [like.dtype], [like.device]
        made = tensor.to(dtypes[0]) if dtypes else tensor
        return self._at(made, torch.device(devices[0])) if devices else made

    def _at(self, tensor: torch.Tensor, device: torch.device) -> torch.Tensor:
        return tensor if device.type == "cpu" or tensor.dim() == 0 else self._send(tensor, device)
