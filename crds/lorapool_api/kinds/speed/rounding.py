"""What torch may round."""

from pydantic import Field

from lorapool_api.schema import ApiModel


class TorchOptions(ApiModel):
    """What pods let torch round for speed. Pictures of the same seed differ from those of exact pods."""

    allow_tf32: bool = Field(
        default=False,
        description="Products and convolutions of a float32 base on tensor cores, which read 10 bits of each number's "
        "24. Nothing changes for bases in 16 bits.",
    )
    reduced_precision_reduction: bool = Field(
        default=False,
        description="Sums of products of a base in 16 bits may be added up in 16 bits, where a kernel is faster so.",
    )
    channels_last: bool = Field(
        default=False,
        description="The UNet's and the VAE's convolutions with the channels of a pixel beside each other, which some "
        "cards prefer. Other kernels add in another order.",
    )
