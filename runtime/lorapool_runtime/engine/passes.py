"""What a picture is made by besides its prompt: one to begin with, a pass before it, pictures that control it."""

from dataclasses import dataclass

from PIL.Image import Image

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


@dataclass(frozen=True)
class ControlPicture:
    """A picture that one of the pool's controls reads at each step: edges, depth, a pose.

    Attributes:
        name: of the control.
        image: RGB, of the recipe's size.
        scale: how strongly it counts.
        start, end: the share of the steps from which, and up to which, it counts.
    """

    name: str
    image: Image
    scale: float = 1.0
    start: float = 0.0
    end: float = 1.0


@dataclass(frozen=True)
class Start:
    """A picture to begin with instead of noise.

    Attributes:
        image: RGB, of the recipe's size.
        mask: of the same size, 8-bit grey: white is painted anew, black is kept. None: all of it is changed.
        strength: how far it may go from the picture, above 0 and up to 1; of the steps so many are done.
        beside: more pictures to look at, RGB, each of its own size; none where there is a mask.
    """

    image: Image
    mask: Image | None
    strength: float
    beside: tuple[Image, ...] = ()

    @property
    def images(self) -> tuple[Image, ...]:
        """All that there is to look at, in the order of the request."""
        return (self.image, *self.beside)
