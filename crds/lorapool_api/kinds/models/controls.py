"""What a pool has beside its base for pictures that control others."""

from collections.abc import Callable
from enum import StrEnum
from typing import Annotated

from pydantic import ConfigDict, Field

from lorapool_api.kinds.sources import ModelSource
from lorapool_api.schema import ApiModel, Rule, rules

# Relative, and no way out of its folder: no part begins with a dot.
_PART = "[A-Za-z0-9_-][A-Za-z0-9._-]*"
WeightsFile = Annotated[str, Field(pattern=rf"^({_PART}/)*{_PART}\.safetensors$", max_length=512)]
BaseFile = Annotated[str, Field(pattern=rf"^({_PART}/)*{_PART}\.(safetensors|gguf)$", max_length=512)]
Subfolder = Annotated[str, Field(pattern=rf"^({_PART}/)*{_PART}$", max_length=512)]


class ControlKind(StrEnum):
    """Networks that let a picture control another."""

    CONTROL_NET = "ControlNet"
    CONTROL_LORA = "ControlLora"
    IP_ADAPTER = "IPAdapter"
    T2I_ADAPTER = "T2IAdapter"


class ImageEncoder(ApiModel):
    """What an IP-Adapter reads pictures with: a CLIPVisionModelWithProjection of transformers."""

    source: ModelSource | None = Field(
        default=None, description="Default: that of the control.", exclude_if=lambda source: source is None
    )
    folder: Subfolder | None = Field(
        default=None,
        description="In the source. Default: in the control's own source `image_encoder` beside its file, in another "
        "one all of it.",
        exclude_if=lambda folder: folder is None,
    )


class ControlSpec(ApiModel):
    """A network beside the base, which requests name with a picture of theirs."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            Rule(
                "(self.kind in ['ControlLora', 'IPAdapter']) == has(self.file)",
                "file goes with the kinds ControlLora and IPAdapter, and such a control needs it",
            ),
            Rule("self.kind == 'IPAdapter' || !has(self.imageEncoder)", "imageEncoder goes with the kind IPAdapter"),
        )
    )

    name: str = Field(
        description="What requests call it.", pattern=r"^[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?$", max_length=63
    )
    kind: ControlKind = Field(
        default=ControlKind.CONTROL_NET,
        description="ControlNet: a ControlNetModel of diffusers, for this base. ControlLora: a file of low-rank "
        "changes that make a ControlNet of this base, as Stability AI's for SDXL. IPAdapter: a file with the keys "
        "`image_proj` and `ip_adapter`, for this base, and the encoder that reads pictures for it. "
        "T2IAdapter: a T2IAdapter of diffusers, for this base.",
    )
    source: ModelSource = Field(description="Where its diffusers folder, or its file, comes from.")
    file: WeightsFile | None = Field(
        default=None,
        description="Of a ControlLora or an IPAdapter: its file in the source, such as "
        "`sdxl_models/ip-adapter_sdxl.safetensors`.",
        exclude_if=lambda file: file is None,
    )
    image_encoder: ImageEncoder | None = Field(
        default=None,
        description="Of an IPAdapter. Default: the folder `image_encoder` beside its file.",
        exclude_if=lambda encoder: encoder is None,
    )

    @property
    def label(self) -> str:
        """The control in a few words, for people."""
        return f"the control {self.name} ({self.source.label})"

    @property
    def sources(self) -> tuple[ModelSource, ...]:
        """All that it is loaded from."""
        of_encoder = self.image_encoder.source if self.image_encoder is not None else None
        return (self.source,) if of_encoder is None else (self.source, of_encoder)

    def with_sources(self, change: Callable[[ModelSource], ModelSource]) -> "ControlSpec":
        """The same control, each of its sources changed."""
        encoder = self.image_encoder
        if encoder is not None and encoder.source is not None:
            encoder = encoder.model_copy(update={"source": change(encoder.source)})
        return self.model_copy(update={"source": change(self.source), "image_encoder": encoder})
