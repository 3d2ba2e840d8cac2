"""Where a base model and an adapter come from."""

from dataclasses import dataclass
from typing import Annotated, ClassVar

from pydantic import ConfigDict, Field

from lorapool_api.kinds.artifacts import AnyArtifact, CivitaiSource, OciSource
from lorapool_api.kinds.stacks import StackMembers, StackSource
from lorapool_api.kinds.stores.objects import AnyStoredObject, AzureSource, GcsSource, S3Source
from lorapool_api.schema import ApiModel, Rule, exactly_one_of, rules

RepoId = Annotated[
    str,
    Field(
        description="Repository on the Hugging Face Hub, `owner/name`.",
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,95}/[A-Za-z0-9._-]{1,96}$",
        max_length=193,
        examples=["stabilityai/stable-diffusion-xl-base-1.0"],
    ),
]
Revision = Annotated[
    str,
    Field(
        description="Branch, tag or commit. It is resolved to a commit once. An edit of an adapter asks again; a base "
        "model stays at its commit until the pool names another revision.",
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._/-]*$",
        max_length=128,
    ),
]
# No `..` can stand in it: a source names a place below a mounted root, never a way out of it.
AbsolutePath = Annotated[
    str,
    Field(
        description=(
            "Absolute path in the runtime container, below a volume of the pool's podTemplate; for an adapter one that "
            "the pool names in `adapters.pathVolumes`."
        ),
        pattern=r"^(/[A-Za-z0-9_@+=:,-][A-Za-z0-9._@+=:,-]*)+$",
        max_length=1024,
        examples=["/models/shapes-xl"],
    ),
]
Sha256 = Annotated[
    str,
    Field(
        description=(
            "sha256 of the weights file in lower-case hexadecimal; checked before the weights are used. It does not "
            "cover what may lie beside them: adapter_config.json and embeddings.safetensors."
        ),
        pattern=r"^[0-9a-f]{64}$",
        min_length=64,
        max_length=64,
    ),
]


class SecretKeyRef(ApiModel):
    """A key of a Secret in the object's own namespace."""

    name: str = Field(description="Name of the Secret.", min_length=1, max_length=253)
    key: str = Field(description="Key in the Secret.", min_length=1, max_length=253)


class HubModel(ApiModel):
    """A diffusers pipeline in a repository on the Hugging Face Hub."""

    repo: RepoId
    revision: Revision = "main"
    variant: str | None = Field(
        default=None,
        description="Variant of the weight files, as diffusers names it: `fp16` for `*.fp16.safetensors`.",
        pattern=r"^[A-Za-z0-9_-]+$",
        max_length=32,
    )
    token_secret_ref: SecretKeyRef | None = Field(
        default=None,
        description="Secret with a Hub token, for private and gated repositories. The pods get it as HF_TOKEN.",
    )

    @property
    def label(self) -> str:
        return self.repo


@dataclass(frozen=True)
class UrlSource:
    """A weights file at an address."""

    is_seen_by_pods_only: ClassVar[bool] = False
    tells_sha256: ClassVar[bool] = False

    url: str

    @property
    def label(self) -> str:
        """The query of an address may hold a signature: it is left out."""
        return self.url.partition("?")[0]


@dataclass(frozen=True)
class PathSource:
    """A file or a folder on a volume of the pods."""

    is_seen_by_pods_only: ClassVar[bool] = True
    tells_sha256: ClassVar[bool] = False

    path: str

    @property
    def label(self) -> str:
        return self.path


class UnknownSource:
    """No source that this version knows, or more than one: the object was stored by another version."""

    is_seen_by_pods_only: ClassVar[bool] = False
    tells_sha256: ClassVar[bool] = False
    label: ClassVar[str] = "a source that is not known here"


class ModelSource(ApiModel):
    """Where a base model comes from: exactly one of the fields."""

    model_config = ConfigDict(json_schema_extra=rules(exactly_one_of("hub", "path")))

    hub: HubModel | None = Field(default=None, description="A repository on the Hugging Face Hub.")
    path: AbsolutePath | None = None

    @property
    def value(self) -> HubModel | PathSource | UnknownSource:
        """The one that is set."""
        match self.hub, self.path:
            case HubModel() as hub, None:
                return hub
            case None, str() as path:
                return PathSource(path)
        return UnknownSource()

    @property
    def label(self) -> str:
        """The source in a few words, for people."""
        return self.value.label


class HubSource(ApiModel):
    """A weights file in a repository on the Hugging Face Hub."""

    is_seen_by_pods_only: ClassVar[bool] = False
    tells_sha256: ClassVar[bool] = True

    repo: RepoId
    revision: Revision = Field(
        default="main",
        description=(
            "Branch, tag or commit. It is resolved to a commit once; another value of the object's annotation "
            "lorapool.dev/refresh, or follow, asks again."
        ),
    )
    file: str | None = Field(
        default=None,
        description=(
            "File in the repository. Default: pytorch_lora_weights.safetensors, else the first *.safetensors that is "
            "not an embedding."
        ),
        pattern=r"^([A-Za-z0-9_@+=, -][A-Za-z0-9._@+=, -]*/)*[A-Za-z0-9_@+=, -][A-Za-z0-9._@+=, -]*\.safetensors$",
        max_length=256,
    )

    @property
    def label(self) -> str:
        return f"{self.repo}/{self.file}" if self.file else self.repo


class AdapterSource(ApiModel):
    """Where an adapter's file comes from: exactly one of the fields."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            exactly_one_of("hub", "url", "path", "s3", "gcs", "azure", "oci", "civitai", "stack"),
            Rule(
                "!has(self.tokenSecretRef) || has(self.hub) || has(self.url) || has(self.civitai)",
                "tokenSecretRef goes with hub, url or civitai",
            ),
        )
    )

    hub: HubSource | None = Field(default=None, description="A repository on the Hugging Face Hub.")
    url: str | None = Field(
        default=None,
        description="Address of the file, on a host that the installation allows.",
        pattern=r"^https?://[^/\s?#@]+/[^\s#]+$",
        max_length=2048,
    )
    path: AbsolutePath | None = None
    s3: S3Source | None = Field(default=None, description="An object in S3, or in a store that speaks like it.")
    gcs: GcsSource | None = Field(default=None, description="An object in Google Cloud Storage.")
    azure: AzureSource | None = Field(default=None, description="A blob in Azure Blob Storage.")
    oci: OciSource | None = Field(default=None, description="An artifact in a registry, as `oras push` makes them.")
    civitai: CivitaiSource | None = Field(default=None, description="A file of a model's version at Civitai.")
    stack: StackMembers | None = Field(
        default=None,
        description="Other adapters of the same pool, which a request for this name gets together. None of them is a "
        "stack itself.",
    )
    token_secret_ref: SecretKeyRef | None = Field(
        default=None,
        description=(
            "Secret of the adapter's own namespace with the token that `hub`, `url` or `civitai` asks for; it is sent "
            "as a bearer token. The operator reads it where a Role of the namespace lets it get this one Secret."
        ),
    )

    @property
    def value(self) -> "AnySource":
        """The one that is set."""
        others = (self.hub, self.s3, self.gcs, self.azure, self.oci, self.civitai)
        found: list[AnySource] = [source for source in others if source is not None]
        if self.url is not None:
            found.append(UrlSource(self.url))
        if self.path is not None:
            found.append(PathSource(self.path))
        if self.stack is not None:
            found.append(StackSource(self.stack))
        return found[0] if len(found) == 1 else UnknownSource()

    @property
    def label(self) -> str:
        """The source in a few words, for people; nothing secret."""
        return self.value.label


# Each of them has a `label`, a few words for people and nothing secret, and says `is_seen_by_pods_only`, whether the
# operator cannot look at it and pods report what they find, and `tells_sha256`, whether it says its sha256 itself.
AnySource = HubSource | UrlSource | PathSource | AnyStoredObject | AnyArtifact | StackSource | UnknownSource
