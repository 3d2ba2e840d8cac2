"""An engine that gives the device's memory back while nobody asks for a picture."""

from contextlib import AbstractContextManager, nullcontext
from threading import Lock

import torch

from lorapool_runtime.engine.contract import Stop
from lorapool_runtime.engine.diffusers.activator import Activator
from lorapool_runtime.engine.diffusers.base.hub import first_line
from lorapool_runtime.engine.diffusers.device.host_weights import HostWeights
from lorapool_runtime.engine.diffusers.parts import PipelineParts
from lorapool_runtime.errors import CannotSleep, CannotWake, DeviceLost


class EngineSleep:
    """For the engine's thread.

    What is left on the device is the context of the process: CUDA's own, libraries, the two buffers of uploads are of
    the host. Adapters come back one by one, as requests ask for them.
    """

    def __init__(self, parts: PipelineParts, activator: Activator, rendering: Lock) -> None:
        """`rendering` is held by whoever works with the parts."""
        self._parts = parts
        self._activator = activator
        self._weights = HostWeights(parts.modules, parts.accelerator)
        self._rendering = rendering

    def sleep(self, stop: Stop) -> None:
        """See `WarmEngine.sleep`. Raises: CannotSleep, Stopped, DeviceLost."""
        if self._parts.stays is not None:
            raise CannotSleep(self._parts.stays)
        try:
            with self._rendering, self._unlooked():
                self._weights.leave(stop)
                self._activator.close()
                self._parts.prompts.forget()
                self._parts.accelerator.empty_cache()
        except torch.AcceleratorError as error:
            raise _lost(error) from error

    def wake(self) -> None:
        """See `WarmEngine.wake`. Raises: CannotWake, DeviceLost."""
        with self._rendering, self._unlooked():
            try:
                self._weights.come_back()
            except CannotWake:
                self._parts.accelerator.empty_cache()
                raise
            except torch.AcceleratorError as error:
                raise _lost(error) from error
            self._activator.open()

    def _unlooked(self) -> AbstractContextManager[None]:
        """Nobody looks at pictures while the weights move that it takes."""
        return nullcontext() if self._parts.checker is None else self._parts.checker.idle()


def _lost(error: torch.AcceleratorError) -> DeviceLost:
    return DeviceLost(f"the device does not work: {first_line(error)}")
