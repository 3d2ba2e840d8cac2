"""Files of artifacts: in registries, and at Civitai."""

from typing import ClassVar, Literal

from pydantic import Field

from lorapool_api.wire.sources.file import SourceFile


class OciFile(SourceFile):
    """A layer of an artifact in a registry."""

    names_one_content: ClassVar[bool] = True
    has_sidecars: ClassVar[bool] = True

    kind: Literal["oci"] = "oci"
    ref: str = Field(description="registry/repository@sha256:..., the digest of the manifest.")
    file: str = Field(description="Name of the layer.")

    @property
    def owner(self) -> str:
        return f"oci {self.ref.partition('/')[0]}"


class CivitaiFile(SourceFile):
    """A file of a model's version at Civitai, whose creator may replace it."""

    kind: Literal["civitai"] = "civitai"
    version: int
    file: str = Field(description="Its name.")

    @property
    def owner(self) -> str:
        return "civitai"
