"""A request for images."""

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from lorapool_api.kinds.serving import PromptSyntax, SchedulerName, TimestepSpacing
from lorapool_api.kinds.stacks import MAX_MEMBERS
from lorapool_api.wire.message import Wire
from lorapool_api.wire.weighting.scale import Scale

MAX_STACK = MAX_MEMBERS
MAX_CONTROLS = 3
# The higher a request's, the sooner its turn.
MAX_PRIORITY = 9
MAX_IMAGES_BESIDE = 3
MAX_PROMPT_CHARACTERS = 10_000
MAX_PICTURE_CHARACTERS = 16 * 1024 * 1024
# The same of a picture as it is.
MAX_PICTURE_BYTES = MAX_PICTURE_CHARACTERS // 4 * 3
# All pictures of a request: one, and others as long together.
MAX_PICTURES_CHARACTERS = 2 * MAX_PICTURE_CHARACTERS
# A request's body: its pictures, and a few words.
GENERATE_MAX_BYTES = MAX_PICTURES_CHARACTERS + 1024 * 1024


class ImageFormat(StrEnum):
    """Encodings of an image."""

    PNG = "png"
    JPEG = "jpeg"
    WEBP = "webp"
    TIFF = "tiff"
    BMP = "bmp"

    @property
    def media_type(self) -> str:
        return f"image/{self.value}"


class Upscaler(StrEnum):
    """What of a picture is made larger before its second pass."""

    PIXEL = "Pixel"
    LATENT = "Latent"


class MaskReading(StrEnum):
    """What of a mask is painted anew."""

    BRIGHTNESS = "Brightness"
    TRANSPARENCY = "Transparency"


class HiresPass(Wire):
    """A second pass over a picture that was made larger; width and height of the request are those of the first."""

    scale: float = Field(default=2.0, gt=1, le=4, description="Of both sides; rounded down to multiples of 8.")
    upscaler: Upscaler = Field(
        default=Upscaler.PIXEL,
        description="Pixel: the decoded picture, by Lanczos' filter. Latent: the latents, bilinear; where the base's "
        "are a grid.",
    )
    steps: int | None = Field(default=None, ge=1, description="None: as many as the first pass has.")
    strength: float = Field(default=0.5, gt=0, le=1, description="Of the steps so many are done, rounded down.")


class ControlUse(Wire):
    """A picture that controls the result."""

    name: str = Field(description="Of the pool's `model.controls`.", max_length=63)
    image: str = Field(
        max_length=MAX_PICTURE_CHARACTERS,
        description="What the control reads (PNG, JPEG or WebP in base64). A ControlNet: already edges, depth or a "
        "pose; resized to the result. An IPAdapter: what the result shall be like.",
    )
    scale: float = Field(default=1.0, ge=0, le=2, description="How strongly it counts.")
    start: float = Field(
        default=0.0, ge=0, lt=1, description="The share of the steps from which on a ControlNet counts."
    )
    end: float = Field(default=1.0, gt=0, le=1, description="The share of the steps up to which a ControlNet counts.")


class AdapterUse(Wire):
    """An adapter of a stack."""

    key: str = Field(description="namespace/name.", max_length=320)
    scale: Scale | None = Field(
        default=None,
        description="None: the adapter's own. A pod of an earlier version knows numbers, and refuses all else.",
    )
    sha256: str | None = Field(
        default=None,
        description="The file that must be used; a pod that has another answers 409 `AdapterNotReady`.",
    )
    mask: str | None = Field(
        default=None,
        max_length=MAX_PICTURE_CHARACTERS,
        description="A picture (PNG, JPEG or WebP in base64), resized to the result: the adapter counts where it is "
        "white. None: everywhere.",
    )


class GenerateRequest(Wire):
    """Images to make. What is None is taken from the defaults of its adapters, then from the pool's; what exceeds the
    pool's limits is refused."""

    prompt: str = Field(max_length=MAX_PROMPT_CHARACTERS)
    negative_prompt: str | None = Field(default=None, max_length=MAX_PROMPT_CHARACTERS)
    prompt_syntax: PromptSyntax | None = Field(
        default=None, description="How both prompts are read; None: as the pool says."
    )
    adapters: tuple[AdapterUse, ...] = Field(default=(), max_length=MAX_STACK)
    width: int | None = None
    height: int | None = None
    steps: int | None = None
    guidance_scale: float | None = Field(default=None, ge=0, le=100)
    scheduler: SchedulerName | None = None
    timestep_spacing: TimestepSpacing | None = None
    seed: int | None = Field(default=None, ge=0, lt=2**63)
    images: int = Field(default=1, ge=1)
    format: ImageFormat = ImageFormat.PNG
    image: str | None = Field(
        default=None,
        max_length=MAX_PICTURE_CHARACTERS,
        description="A picture to begin with (PNG, JPEG or WebP in base64): image-to-image. Without width and height "
        "the result has its size, rounded down to multiples of 8; else it is resized to them.",
    )
    images_beside: tuple[Annotated[str, Field(max_length=MAX_PICTURE_CHARACTERS)], ...] = Field(
        default=(),
        max_length=MAX_IMAGES_BESIDE,
        description="More pictures to look at beside `image`, in their order and each in its own size, for bases that "
        "look at several; not with a mask.",
    )
    mask: str | None = Field(
        default=None,
        max_length=MAX_PICTURE_CHARACTERS,
        description="Inpainting: what is white in it is painted anew, what is black is kept. Resized to the result.",
    )
    mask_reading: MaskReading = Field(
        default=MaskReading.BRIGHTNESS,
        description="Transparency: what is transparent in the mask is painted anew, as in OpenAI's API; a mask without "
        "transparency is read by its brightness.",
    )
    strength: float | None = Field(
        default=None,
        gt=0,
        le=1,
        description="How far the result may go from `image`; default 0.8, with a mask 1.",
    )
    controls: tuple[ControlUse, ...] = Field(default=(), max_length=MAX_CONTROLS)
    hires: HiresPass | None = Field(default=None, description="A second pass over the picture, made larger.")
    metadata: bool | None = Field(
        default=None, description="Whether the files hold the recipe, as text; None: as the pool says."
    )
    caller: str = Field(
        default="", max_length=64, description="Who asks: requests of one caller wait for each other. Empty: unknown."
    )
    priority: int = Field(default=0, ge=0, le=MAX_PRIORITY, description="The higher, the sooner its turn.")
    within_s: float | None = Field(
        default=None,
        gt=0,
        le=86_400,
        allow_inf_nan=False,
        description="Seconds from now after which nobody wants the images. One that would not be made by then is "
        "refused. None: the pool's time.",
    )
    previews: int = Field(
        default=0,
        ge=0,
        le=10,
        description="How many `step` events show roughly what the first image becomes, where the client takes events.",
    )
