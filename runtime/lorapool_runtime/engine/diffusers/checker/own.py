"""A base's own checker of content, beside its pipeline: pictures wait for it, the engine does not."""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

import numpy as np
import torch
from PIL.Image import Image

from lorapool_runtime.engine.diffusers.device.accelerator import Accelerator
from lorapool_runtime.engine.diffusers.host_threads import one_thread

# In one forward; of 224 pixels each, so their memory is small beside that of a picture that is drawn.
_AT_ONCE: Final = 8


class OwnChecker:
    """Looks at pictures. Any thread but the engine's, one at a time.

    Attributes:
        model: diffusers' `StableDiffusionSafetyChecker`: thresholds and verdict are its own.
    """

    def __init__(self, model: Any, extractor: Any, accelerator: Accelerator) -> None:
        """`extractor` makes pixels for the model of pictures of any size."""
        self.model = model
        self._extractor = extractor
        self._accelerator = accelerator
        self._lock = threading.Lock()

    def flagged(self, images: Sequence[Image]) -> tuple[bool, ...]:
        """Which of these are unfit to be shown. Raises: RuntimeError: what the device says."""
        found: list[bool] = []
        with self.idle(), one_thread():
            for begin in range(0, len(images), _AT_ONCE):
                found += self._look(images[begin : begin + _AT_ONCE])
        return tuple(found)

    @contextmanager
    def idle(self) -> Iterator[None]:
        """While it lasts, no picture is looked at: the model's weights may be moved."""
        with self._lock:
            yield

    def _look(self, images: Sequence[Image]) -> list[bool]:
        pixels = self._extractor([image.convert("RGB") for image in images], return_tensors="pt")["pixel_values"]
        # A base that sleeps has it in host memory.
        weight: torch.Tensor = self.model.visual_projection.weight
        with torch.inference_mode(), self._accelerator.beside():
            # What it would blacken is given away, too: nothing of a request leaves with one that is flagged.
            _, flags = self.model(pixels.to(weight.device, weight.dtype), [np.zeros(1) for _ in images])
        return [bool(flag) for flag in flags]
