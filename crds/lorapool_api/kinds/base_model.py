"""The base model of a pool."""

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from lorapool_api.kinds.sources import ModelSource
from lorapool_api.schema import ApiModel

# A name that a request may use: a Hub id, or a word.
ModelId = Annotated[
    str,
    Field(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*(/[A-Za-z0-9._-]+)?$",
        min_length=1,
        max_length=193,
    ),
]


class Dtype(StrEnum):
    """Types that the base's weights may have on the device."""

    FLOAT16 = "float16"
    BFLOAT16 = "bfloat16"
    FLOAT32 = "float32"


class BaseModelSpec(ApiModel):
    """The base model that every pod of the pool holds."""

    source: ModelSource = Field(description="Where the diffusers pipeline comes from.")
    vae: ModelSource | None = Field(
        default=None,
        description=(
            "Another VAE than the pipeline's own. A float16 SDXL from the Hub gets madebyollin/sdxl-vae-fp16-fix "
            "when nothing is named, because its own VAE overflows in float16."
        ),
    )
    dtype: Dtype | None = Field(
        default=None,
        description="Type of the weights on the device. Default: float16, and bfloat16 for Flux and Stable Diffusion "
        "3, whose numbers float16 cannot hold.",
    )
    aliases: tuple[ModelId, ...] = Field(
        default=(),
        description="Names that a request may use for the bare base, besides the pool's own.",
        max_length=16,
    )
