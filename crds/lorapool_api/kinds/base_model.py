"""The base model of a pool."""

from enum import StrEnum
from typing import Annotated, Final

from pydantic import ConfigDict, Field

from lorapool_api.kinds.models.controls import BaseFile, ControlSpec
from lorapool_api.kinds.sources import ModelSource
from lorapool_api.schema import ApiModel, Rule, rules

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


class QuantizationMethod(StrEnum):
    """How weights are kept in fewer bits."""

    INT8 = "int8"
    FP8 = "fp8"
    NF4 = "nf4"


# A component of the pipeline, or one of its modules by its dotted name.
ModuleName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_]+(\.[A-Za-z0-9_]+)*$", min_length=1, max_length=253)]


class Quantization(ApiModel):
    """The base's weights in fewer bits; adapters are added to the products with them in `dtype`."""

    method: QuantizationMethod = Field(
        description="int8: 8 bits and a scale for each output (torchao). fp8: 8-bit floats and a scale for each output "
        "(torchao). nf4: 4 bits, blocks of 64 (bitsandbytes). Linear modules of the denoiser and of the text encoders "
        "are packed, each while it is loaded."
    )
    skip: tuple[ModuleName, ...] = Field(
        default=(),
        description="What stays as it is, with all below it: a component (`text_encoder`), or one of its modules "
        "(`transformer.proj_out`).",
        max_length=64,
    )


# Of a checkpoint in one file, and of a denoiser alone in blocks of fewer bits.
_ONE_FILE: Final = (".safetensors", ".gguf")
_IS_ONE_FILE: Final = " || ".join(f"self.source.path.endsWith('{suffix}')" for suffix in _ONE_FILE)


class Offload(StrEnum):
    """Where the base's weights lie while they are not needed."""

    NONE = "None"
    GROUP = "Group"


class Loading(StrEnum):
    """How the files of the base are read."""

    MAPPED = "Mapped"
    STREAMED = "Streamed"


class BaseModelSpec(ApiModel):
    """The base model that every pod of the pool holds."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            Rule(
                "self.offload == 'None' || !has(self.quantization) || self.quantization.method != 'nf4'",
                "weights in nf4 cannot be offloaded: take int8 or fp8",
            ),
            Rule(
                f"has(self.config) == (has(self.file) || (has(self.source.path) && ({_IS_ONE_FILE})))",
                "config goes with a source that is one file, and such a source needs it",
            ),
            Rule("!has(self.file) || has(self.source.hub)", "file goes with a source on the Hub: a path names its own"),
            Rule(
                "!has(self.file) || !has(self.source.hub) || !has(self.source.hub.variant)",
                "a file is of no variant: it is named by itself",
            ),
        )
    )

    source: ModelSource = Field(
        description="Where the diffusers pipeline comes from. A path that ends in .safetensors is a checkpoint in one "
        "file; one that ends in .gguf is a denoiser in one."
    )
    file: BaseFile | None = Field(
        default=None,
        description="A checkpoint in one file, or a denoiser in a .gguf file, in the repository of `source.hub`: this "
        "alone is fetched of it.",
        exclude_if=lambda file: file is None,
    )
    config: ModelSource | None = Field(
        default=None,
        description="Of a checkpoint in one file: a diffusers pipeline of the same family, with the configurations and "
        "tokenizers, and with the components that the file lacks, such as the text encoders of a Flux; beside a .gguf "
        "file all but the denoiser.",
        exclude_if=lambda config: config is None,
    )
    vae: ModelSource | None = Field(
        default=None,
        description=(
            "Another VAE than the pipeline's own. A float16 SDXL from the Hub gets madebyollin/sdxl-vae-fp16-fix "
            "when nothing is named, because its own VAE overflows in float16."
        ),
    )
    dtype: Dtype | None = Field(
        default=None,
        description="Type of the weights on the device. Default: that of the family (docs/models.md): float16 for SD "
        "and SDXL, bfloat16 for those whose numbers float16 cannot hold, such as Flux.",
    )
    quantization: Quantization | None = Field(
        default=None,
        description="The weights in fewer bits than `dtype` has, for cards on which the base finds no room. Adapters "
        "are never merged into packed weights.",
    )
    controls: tuple[ControlSpec, ...] = Field(
        default=(),
        description="Networks that pictures of requests control the base with; they take memory of the device. "
        "docs/runtime.md says for which bases.",
        max_length=8,
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
    )
    offload: Offload = Field(
        default=Offload.NONE,
        description="Group: denoiser and text encoders lie in host memory, and each block comes to the device for its "
        "part of a forward. For cards on which the base finds no room; each step then takes as long as the bus takes "
        "for the weights. Adapters stay on the device and are never merged.",
    )
    loading: Loading | None = Field(
        default=None,
        description="Mapped (default): files are mapped into memory. Streamed: many parts of a file are read at once, "
        "for volumes on which that is faster; it needs an image with the package runai-model-streamer, and takes a "
        "gigabyte of host memory meanwhile. The weights are the same.",
        exclude_if=lambda loading: loading is None,
    )
    aliases: tuple[ModelId, ...] = Field(
        default=(),
        description="Names that a request may use for the bare base, besides the pool's own.",
        max_length=16,
    )

    @property
    def is_single_file(self) -> bool:
        """Whether it is a checkpoint in one file, and no folder of a pipeline."""
        return self.file is not None or (self.source.path is not None and self.source.path.endswith(_ONE_FILE))

    @property
    def label(self) -> str:
        """Where it comes from in a few words, for people."""
        return self.source.label if self.file is None else f"{self.source.label} {self.file}"
