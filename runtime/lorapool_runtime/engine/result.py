"""What an engine makes of a request."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from PIL.Image import Image

from lorapool_runtime.errors import RuntimeFailure


class Applied(StrEnum):
    """How the adapters of a request were applied."""

    NONE = "none"
    UNMERGED = "unmerged"
    MERGED = "merged"
    MIXED = "mixed"


@dataclass(frozen=True)
class Rendering:
    """The images of a request, and how long the engine took for each part, in seconds.

    Attributes:
        rows: how many pictures, of this request and others, went through each forward together.
        applied: what was done with its adapters; mixed: added to its own rows of a batch.
        prompt_s: what the text encoders took.
        decode_s: of `inference_s`, from latents to pixels.
        loads: how many of its adapters had to be brought to the device.
    """

    images: tuple[Image, ...]
    load_s: float
    switch_s: float
    inference_s: float
    warnings: tuple[str, ...] = ()
    rows: int = 1
    applied: Applied = Applied.NONE
    prompt_s: float = 0.0
    decode_s: float = 0.0
    loads: int = 0

    @property
    def busy_s(self) -> float:
        """How long the engine was at work on it."""
        return self.load_s + self.switch_s + self.prompt_s + self.inference_s


@dataclass(frozen=True)
class Unfinished:
    """The images of a request whose work is all launched on the device: the engine can begin the next request.

    Attributes:
        finish: waits for the device and makes the images; to be called once, on any thread but the engine's. What it
            raises concerns this request alone: a RuntimeFailure, or whatever the device says.
    """

    finish: Callable[[], Rendering]


Result = Rendering | Unfinished | RuntimeFailure
