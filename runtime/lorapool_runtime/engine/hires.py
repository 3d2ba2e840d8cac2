"""Pictures that are made in two passes."""

from dataclasses import dataclass

from lorapool_api.wire.request import Upscaler


@dataclass(frozen=True)
class Hires:
    """The first pass makes a picture of this size; the second goes over it, made as large as the recipe says.

    Attributes:
        width, height: of the first pass, in pixels.
        steps, strength: of the second pass; of its steps `steps x strength` are done, rounded down, at least one.
    """

    width: int
    height: int
    upscaler: Upscaler
    steps: int
    strength: float
