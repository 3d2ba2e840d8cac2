"""An engine that gives the device's memory back while nobody asks for a picture."""

import torch

from lorapool_runtime.engine.contract import Stop
from lorapool_runtime.engine.diffusers.activator import Activator
from lorapool_runtime.engine.diffusers.base.hub import first_line
from lorapool_runtime.engine.diffusers.device.host_weights import HostWeights
from lorapool_runtime.engine.diffusers.parts import PipelineParts
from lorapool_runtime.errors import CannotSleep, CannotWake, DeviceLost


class EngineSleep:
    """For the engine's thread, while it renders nothing.

    What is left on the device is the context of the process: CUDA's own, libraries, the two buffers of uploads are of
    the host. Adapters come back one by one, as requests ask for them.
    """

    def __init__(self, parts: PipelineParts, activator: Activator) -> None:
        self._parts = parts
        self._activator = activator
        self._weights = HostWeights(parts.modules, parts.accelerator)

    def sleep(self, stop: Stop) -> None:
        """See `WarmEngine.sleep`. Raises: CannotSleep, Stopped, DeviceLost."""
        if self._parts.stays is not None:
            raise CannotSleep(self._parts.stays)
        try:
            self._weights.leave(stop)
            self._activator.close()
            self._parts.prompts.forget()
            self._parts.accelerator.empty_cache()
        except torch.AcceleratorError as error:
            raise _lost(error) from error

    def wake(self) -> None:
        """See `WarmEngine.wake`. Raises: CannotWake, DeviceLost."""
        try:
            self._weights.come_back()
        except CannotWake:
            self._parts.accelerator.empty_cache()
            raise
        except torch.AcceleratorError as error:
            raise _lost(error) from error
        self._activator.open()


def _lost(error: torch.AcceleratorError) -> DeviceLost:
    return DeviceLost(f"the device does not work: {first_line(error)}")
