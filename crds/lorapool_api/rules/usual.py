"""What a request gets where neither it, nor its adapters, nor the pool says: what suits the base."""

import math
from dataclasses import dataclass
from typing import Final

from lorapool_api.kinds.serving import Serving, ServingDefaults
from lorapool_api.rules.limits import SIDE_MULTIPLE


@dataclass(frozen=True)
class UsualRequest:
    """What suits a base: that of SDXL, where nothing else is known.

    Attributes:
        side: of a picture in pixels.
        side_multiple: a side is a multiple of so many pixels.
    """

    steps: int = 25
    guidance_scale: float = 5.0
    side: int = 1024
    side_multiple: int = SIDE_MULTIPLE


OF_SDXL: Final = UsualRequest()


class CompleteDefaults(ServingDefaults):
    """Defaults that leave nothing open but the sampler, which is the base's own then."""

    steps: int
    guidance_scale: float
    width: int
    height: int


class CompleteServing(Serving):
    """A pool's `serving` on a base."""

    defaults: CompleteDefaults


def completed(serving: Serving, usual: UsualRequest) -> CompleteServing:
    """What the pool says, else what suits the base, within the pool's limits."""
    return CompleteServing.model_construct(**{**dict(serving), "defaults": completed_defaults(serving, usual)})


def completed_defaults(serving: Serving, usual: UsualRequest) -> CompleteDefaults:
    """Of it the defaults alone."""
    said, limits = serving.defaults, serving.limits
    width, height = _size(serving, usual)
    return CompleteDefaults.model_construct(
        **{
            **dict(said),
            "steps": min(usual.steps, limits.steps) if said.steps is None else said.steps,
            "guidance_scale": usual.guidance_scale if said.guidance_scale is None else said.guidance_scale,
            "width": width,
            "height": height,
        }
    )


def _size(serving: Serving, usual: UsualRequest) -> tuple[int, int]:
    """A square, where the pool says nothing; with one side that it says, the other is as long as it may be."""
    said, limits = serving.defaults, serving.limits
    if said.width is not None and said.height is not None:
        return said.width, said.height
    one = said.width or said.height
    room = math.isqrt(limits.pixels) if one is None else limits.pixels // one
    most = min(usual.side, limits.side, room)
    side = max(usual.side_multiple, most // usual.side_multiple * usual.side_multiple)
    return said.width or side, said.height or side
