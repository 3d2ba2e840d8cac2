"""What a pool allows one request: pure. Gateway and pod ask the same function, so that they can never disagree."""

from dataclasses import dataclass
from typing import Final

from lorapool_api.kinds.serving import ServingLimits

# A latent has an eighth of the image's sides in every family that is served.
SIDE_MULTIPLE: Final = 8


@dataclass(frozen=True)
class Excess:
    """The first thing of a request that is not allowed.

    Attributes:
        field: the field of `GenerateRequest` that says it; `size` where width and height say it together.
        message: one sentence with the value and the limit.
    """

    field: str
    message: str


def scaled_side(side: int, scale: float, multiple: int = SIDE_MULTIPLE) -> int:
    """The side of a picture that is made larger: rounded down to a multiple of that."""
    return max(multiple, int(side * scale) // multiple * multiple)


def excess(limits: ServingLimits, *, width: int, height: int, steps: int, images: int) -> Excess | None:
    """What exceeds the limits, or is no picture at all; None where everything is allowed."""
    for name, side in (("width", width), ("height", height)):
        if side < SIDE_MULTIPLE or side % SIDE_MULTIPLE:
            return Excess(name, f"{name} {side} is not a positive multiple of {SIDE_MULTIPLE}")
        if side > limits.side:
            return Excess(name, f"{name} {side} is more than the {limits.side} pixels that a side may have")
    if width * height > limits.pixels:
        return Excess("size", f"{width} x {height} are {width * height} pixels; at most {limits.pixels}")
    if not 1 <= steps <= limits.steps:
        return Excess("steps", f"steps {steps} is not between 1 and {limits.steps}")
    if not 1 <= images <= limits.images:
        return Excess("images", f"images {images} is not between 1 and {limits.images}")
    return None
