"""The scale of an adapter in a request: a number, or a `Weighting` where one number does not say it: pure."""

from collections.abc import Mapping
from itertools import pairwise
from typing import Annotated, Any, Final

from pydantic import (
    ConfigDict,
    Field,
    TypeAdapter,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WrapValidator,
    field_validator,
)

from lorapool_api.wire.message import Wire
from lorapool_api.wire.weighting.blocks import LENGTHS, PRESETS, Blocks

MAX_SCALE: Final = 10.0
MAX_CHANGES: Final = 16

Number = Annotated[float, Field(ge=-MAX_SCALE, le=MAX_SCALE, allow_inf_nan=False)]
Start = Annotated[float, Field(ge=0, lt=1, allow_inf_nan=False)]


class Weighting(Wire):
    """How strongly an adapter counts, by step, by block and by part of the base.

    A field that is not known is refused: without what it means the picture would be another one.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    steps: tuple[tuple[Start, Number], ...] = Field(
        default=(),
        max_length=MAX_CHANGES,
        description="(from which share of the steps on, the scale in the denoiser), ascending, the first from 0. "
        "Empty: the adapter's own scale.",
    )
    text_encoder: Number | None = Field(
        default=None, description="The scale in the text encoders. None: that of the first step."
    )
    blocks: str | Annotated[tuple[Number, ...], Field(max_length=max(LENGTHS))] | None = Field(
        default=None, description="What the scale counts in each block of a UNet: a preset, or a list. None: all 1."
    )

    @field_validator("steps")
    @classmethod
    def _ascending(cls, steps: tuple[tuple[float, float], ...]) -> tuple[tuple[float, float], ...]:
        starts = [start for start, _ in steps]
        if starts and starts[0] != 0:
            raise ValueError("the first scale must begin at step 0")
        if any(later <= earlier for earlier, later in pairwise(starts)):
            raise ValueError("each scale must begin after the one before it")
        return steps

    @field_validator("blocks")
    @classmethod
    def _known(cls, blocks: Blocks | None) -> Blocks | None:
        if isinstance(blocks, str) and blocks not in PRESETS:
            raise ValueError(f"there is no preset {blocks[:32]!r}: {', '.join(PRESETS)}")
        if isinstance(blocks, tuple) and len(blocks) not in LENGTHS:
            raise ValueError(f"a list of blocks has {', '.join(map(str, sorted(LENGTHS)))} weights, not {len(blocks)}")
        return blocks

    @property
    def first(self) -> float:
        """The scale in the denoiser at the first step. Raises: ValueError where it is the adapter's own."""
        if not self.steps:
            raise ValueError("the scale is the adapter's own, and nobody has filled it in")
        return self.steps[0][1]

    @property
    def text(self) -> float:
        """The scale in the text encoders, without what `blocks` makes of it. Raises: as `first`."""
        return self.first if self.text_encoder is None else self.text_encoder

    def __str__(self) -> str:
        """For people: `0->1,0.5->0.3 te=0.5 lbw=OUTALL`."""
        many = len(self.steps) > 1
        scales = ",".join(f"{start:g}->{scale:g}" if many else f"{scale:g}" for start, scale in self.steps)
        te, blocks = self.text_encoder, self.blocks
        if isinstance(blocks, tuple):
            blocks = ",".join(f"{weight:g}" for weight in blocks)
        parts = (scales, None if te is None else f"te={te:g}", None if blocks is None else f"lbw={blocks}")
        return " ".join(part for part in parts if part)


_NUMBER: Final[TypeAdapter[float]] = TypeAdapter(Number)


def _read(value: Any, _: ValidatorFunctionWrapHandler) -> float | Weighting:
    """By what it looks like, so that what is wrong with it is said of that alone."""
    if isinstance(value, Weighting):
        return value
    return Weighting.model_validate(value) if isinstance(value, Mapping) else _NUMBER.validate_python(value)


Scale = Annotated[float | Weighting, WrapValidator(_read)]


def scale_text(scale: float | Weighting) -> str:
    """The scale for people: `0.8`, or as a `Weighting` writes itself."""
    return str(scale) if isinstance(scale, Weighting) else f"{scale:g}"


def plain(weighting: Weighting) -> float | Weighting:
    """The same in the shortest way: a number where it is no more, which who knows nothing else understands too."""
    if weighting.steps and weighting.text == weighting.first:
        if len(weighting.steps) == 1 and weighting.blocks is None:
            return weighting.first
        return weighting.model_copy(update={"text_encoder": None})
    return weighting


def filled(scale: float | Weighting | None, own: float) -> float | Weighting:
    """The scale, where it does not say one with the adapter's own."""
    if scale is None:
        return own
    if isinstance(scale, Weighting) and not scale.steps:
        return plain(scale.model_copy(update={"steps": ((0.0, own),)}))
    return scale


def times(scale: float | Weighting, factor: float) -> float | Weighting:
    """So many times as strong. Raises: ValueError: that is more than an adapter's scale may be."""
    if not isinstance(scale, Weighting):
        product = scale * factor
        if not -MAX_SCALE <= product <= MAX_SCALE:
            raise ValueError(f"as strong as {product:g}: a scale is at most {MAX_SCALE:g}")
        return product
    text = None if scale.text_encoder is None else scale.text_encoder * factor
    steps = tuple((start, weight * factor) for start, weight in scale.steps)
    try:
        return Weighting(steps=steps, text_encoder=text, blocks=scale.blocks)
    except ValidationError as error:
        raise ValueError(f"{factor:g} times as strong: a scale is at most {MAX_SCALE:g}") from error


def starts(scale: float | Weighting) -> tuple[float, ...]:
    """From which shares of the steps on the denoiser has another scale; the first is 0."""
    return tuple(start for start, _ in scale.steps) if isinstance(scale, Weighting) else (0.0,)


def at(scale: float | Weighting, share: float) -> float | Weighting:
    """The scale as it is when that share of the steps is done: it does not change from step to step any more."""
    if not isinstance(scale, Weighting) or len(scale.steps) == 1:
        return scale
    now = next(weight for start, weight in reversed(scale.steps) if start <= share)
    return plain(Weighting(steps=((0.0, now),), text_encoder=scale.text, blocks=scale.blocks))
