"""What pods may leave out of a step because the last one was alike."""

from enum import StrEnum

from pydantic import Field

from lorapool_api.schema import ApiModel


class StepCacheMethod(StrEnum):
    """How a step is found to be like one before it."""

    FIRST_BLOCK = "FirstBlock"


class StepCache(ApiModel):
    """Steps whose first block changes little take what the other blocks added before. Pictures are not exact."""

    method: StepCacheMethod = Field(
        default=StepCacheMethod.FIRST_BLOCK,
        description="FirstBlock: diffusers' First Block Cache. Each step runs the denoiser's first block; where that "
        "adds nearly what it added in the last step that ran whole, the other blocks are skipped.",
    )
    threshold: float = Field(
        default=0.05,
        description="Up to which change of what the first block adds, relative to its mean size, a step is skipped. "
        "More skips more, and strays further from the exact picture; 0 skips what does not change at all.",
        ge=0,
        le=1,
    )
