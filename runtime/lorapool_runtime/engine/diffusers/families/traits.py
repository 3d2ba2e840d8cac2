"""What may differ between families of base models, for whatever works with all of them."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from lorapool_api.kinds.base_model import Dtype
from lorapool_api.kinds.serving import SchedulerName
from lorapool_api.wire.weighting.blocks import BlockTable


class Task(StrEnum):
    """What a picture begins with."""

    TEXT_TO_IMAGE = "text-to-image"
    IMAGE_TO_IMAGE = "image-to-image"
    INPAINTING = "inpainting"


class Guidance(StrEnum):
    """What `guidance_scale` of a request means to a base."""

    CLASSIFIER_FREE = "classifier-free"
    """Above 1 each step has a second forward, with the negative prompt (arXiv:2207.12598)."""
    EMBEDDED = "embedded"
    """An input of the denoiser, which was distilled from classifier-free guidance: no second forward, and nothing that
    reads a negative prompt (arXiv:2210.03142)."""
    TRUE_SCALE = "true scale"
    """Classifier-free; the pipeline calls it `true_cfg_scale`, and takes none without a negative prompt."""
    GUIDER = "guider"
    """Classifier-free; components of the pipeline do it, `guider` and `ocr_guider`, and know how strongly."""


class Latents(StrEnum):
    """What the pipeline's latents are between two steps."""

    GRID = "grid"
    """(pictures, channels, height, width)"""
    PACKED = "packed"
    """(pictures, tokens, 4 channels): each token a square of 2 x 2"""
    TOKENS = "tokens"
    """(pictures, tokens, channels)"""


class Places(StrEnum):
    """Which of the denoiser's numbers are of which part of the picture."""

    GRID = "grid"
    """A UNet's: pictures, and sequences of their cells; each level halves the sides."""
    TEXT_FIRST = "text first"
    """A sequence of the picture's tokens, or of those of the words and then of the picture's; or each of the two has
    modules of its own."""


@dataclass(frozen=True)
class ControlNets:
    """What diffusers has for ControlNets of a family.

    Attributes:
        pipelines: its class for each task that they can steer.
        net, several: its classes for one of them, and for some together; None: one at a time.
        alike: what the configuration of one must have as the denoiser's has it.
    """

    pipelines: Mapping[Task, str]
    net: str
    several: str | None
    alike: tuple[str, ...]


@dataclass(frozen=True)
class FamilyDefaults:
    """What a request gets where neither it, nor its adapters, nor the pool says.

    Attributes:
        side: of the picture in pixels, where the base does not say what it was trained for.
        sampler: None: the one that the base comes with.
    """

    steps: int
    guidance_scale: float
    side: int = 1024
    sampler: SchedulerName | None = None


@dataclass(frozen=True)
class FamilyTraits:
    """One family.

    Attributes:
        name: as people call it.
        pipelines: diffusers' class for each task that the base can do.
        defaults: as the base's authors have it, or diffusers' pipeline where they say nothing.
        dtype: of the weights; bfloat16 where activations leave float16's range.
        side_multiple: sides of pictures are multiples of so many pixels.
        text_encoders: the pipeline's components that read the prompt.
        negative_prompts: whether anything reads them.
        edits: its image-to-image takes the picture as something to look at, not as what the noise is laid over: it has
            no strength.
        most_pictures: that one request may show to its image-to-image.
        least_steps: fewer its pipeline does not do.
        scales_sizes: its pipeline scales every size to the area of its `default_sample_size`.
        is_sized: whether the configuration of the denoiser says for which size a base was trained.
        distilled: bases of the same class that were distilled for few steps without guidance.
        controlled: None: there are no ControlNets for it here.
        places: None: adapters cannot be masked.
        image_prompts: whether its denoiser attends to pictures by diffusers' IP-Adapters.
        cached: tasks whose pipeline tells diffusers' step cache which forward of a step it does, with a denoiser whose
            blocks the cache knows.
        blocks: of its UNet; None: an adapter's scale cannot be said block by block.
    """

    name: str
    pipelines: Mapping[Task, str]
    defaults: FamilyDefaults
    dtype: Dtype = Dtype.BFLOAT16
    guidance: Guidance = Guidance.CLASSIFIER_FREE
    latents: Latents = Latents.GRID
    side_multiple: int = 16
    text_encoders: tuple[str, ...] = ("text_encoder",)
    negative_prompts: bool = True
    edits: bool = False
    most_pictures: int = 1
    least_steps: int = 1
    scales_sizes: bool = False
    is_sized: bool = True
    distilled: "FamilyTraits | None" = None
    controlled: ControlNets | None = None
    image_prompts: bool = False
    places: Places | None = None
    cached: tuple[Task, ...] = ()
    blocks: BlockTable | None = None

    @property
    def first_task(self) -> Task:
        """What a picture to try the base with begins with: the least that the base needs."""
        return next(task for task in Task if task in self.pipelines)
