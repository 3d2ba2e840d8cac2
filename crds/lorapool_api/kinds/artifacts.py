"""Adapters that are published as artifacts: in registries, and at Civitai."""

import re
from typing import Annotated, ClassVar, Final

from pydantic import ConfigDict, Field

from lorapool_api.schema import ApiModel, Rule, exactly_one_of, rules

_HOST: Final = r"((localhost|[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+|\[[0-9A-Fa-f:]+\])(:[0-9]{1,5})?|[A-Za-z0-9-]+:[0-9]{1,5})"
_FOLDER: Final = r"[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*"
_AIR: Final = re.compile(r"^urn:air:[^:]+:[^:]+:civitai:(?P<model>[0-9]+)@(?P<version>[0-9]+)(\+(?P<file>[0-9]+))?")
OciRef = Annotated[
    str,
    Field(
        description=(
            "Artifact in a registry that the installation allows: `registry/repository:tag` or "
            "`registry/repository@sha256:...`. A tag is resolved to a manifest's digest once; another value of the "
            "object's annotation lorapool.dev/refresh, or follow, asks again."
        ),
        pattern=rf"^{_HOST}(/{_FOLDER})+(:[A-Za-z0-9_][A-Za-z0-9._-]{{0,127}})?(@sha256:[0-9a-f]{{64}})?$",
        max_length=512,
        examples=["ghcr.io/acme/loras/pixel-art-xl:1.2"],
    ),
]


class PullSecretRef(ApiModel):
    """A Secret of type kubernetes.io/dockerconfigjson in the object's own namespace."""

    name: str = Field(description="Name of the Secret.", min_length=1, max_length=253)


class OciSource(ApiModel):
    """An artifact in a registry of the OCI distribution specification, with the weights file as a layer."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            Rule("self.ref.matches('.*(:[^/@]+|@sha256:[0-9a-f]+)$')", "ref needs a tag or a digest")
        )
    )

    is_seen_by_pods_only: ClassVar[bool] = False
    tells_sha256: ClassVar[bool] = True

    ref: OciRef
    file: str | None = Field(
        default=None,
        description=(
            "Name of the layer, as its annotation org.opencontainers.image.title has it. Default: "
            "pytorch_lora_weights.safetensors, else the only *.safetensors that is not an embedding."
        ),
        pattern=r"^([A-Za-z0-9._@+=, -]+/)*[A-Za-z0-9._@+=, -]+\.safetensors$",
        max_length=256,
    )
    pull_secret_ref: PullSecretRef | None = Field(
        default=None,
        description=(
            "Secret of the adapter's own namespace, of type kubernetes.io/dockerconfigjson, with who may pull. The "
            "operator reads it where a Role of the namespace lets it get this one Secret."
        ),
    )

    @property
    def label(self) -> str:
        return f"{self.ref}/{self.file}" if self.file else self.ref

    @property
    def repository(self) -> str:
        """Registry and repository, without tag and digest."""
        name = self.ref.partition("@")[0]
        head, slash, last = name.rpartition("/")
        return f"{head}{slash}{last.partition(':')[0]}"


class CivitaiSource(ApiModel):
    """A file of a model's version at Civitai."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            exactly_one_of("air", "modelVersion"),
            Rule("!has(self.file) || !has(self.air) || !self.air.contains('+')", "air names a file already"),
        )
    )

    is_seen_by_pods_only: ClassVar[bool] = False
    tells_sha256: ClassVar[bool] = True

    air: str | None = Field(
        default=None,
        description="AIR of the version, as its page at Civitai shows it; `+ID` at its end names one of its files.",
        pattern=(
            r"^urn:air:[a-z0-9_.-]+:(lora|lycoris|locon|dora):civitai:[1-9][0-9]{0,14}@[1-9][0-9]{0,14}"
            r"(\+[1-9][0-9]{0,14})?(\.[a-z]+)?$"
        ),
        max_length=128,
        examples=["urn:air:sdxl:lora:civitai:328553@368189"],
    )
    model_version: int | None = Field(
        default=None, description="Number of the version: `modelVersionId` of its address.", ge=1, le=10**15
    )
    file: str | None = Field(
        default=None,
        description=(
            "Name, or number, of one of the version's files. Default: the one that the page offers first, if it is "
            "safetensors, else the first that is."
        ),
        min_length=1,
        max_length=256,
    )

    @property
    def label(self) -> str:
        return f"version {self.version} at Civitai"

    @property
    def version(self) -> int:
        """Number of the version; 0, which none has, where the object was stored by another version of lorapool."""
        return int(self._air["version"]) if self._air else self.model_version or 0

    @property
    def model(self) -> int | None:
        """Number of the model that it has to be a version of."""
        return int(self._air["model"]) if self._air else None

    @property
    def wanted_file(self) -> str | None:
        """Name or number of the file; None: none is named."""
        return self.file or (self._air["file"] if self._air else None)

    @property
    def _air(self) -> re.Match[str] | None:
        return _AIR.match(self.air) if self.air else None


AnyArtifact = OciSource | CivitaiSource
