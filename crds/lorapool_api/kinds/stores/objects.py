"""Object stores as sources of adapters: S3 and what speaks like it, Google Cloud Storage, Azure Blob Storage."""

from abc import abstractmethod
from typing import Annotated, ClassVar

from pydantic import ConfigDict, Field

from lorapool_api.schema import ApiModel, Rule, rules

# No empty segment and none of dots alone: a key is a file in a folder, as the console of a store shows it.
ObjectKey = Annotated[
    str,
    Field(
        description="Key of the weights file, which ends with .safetensors. adapter_config.json and "
        "embeddings.safetensors with the same prefix belong to it.",
        pattern=r"^([A-Za-z0-9_@+=,()!' -][A-Za-z0-9._@+=,()!' -]*/)*"
        r"[A-Za-z0-9_@+=,()!' -][A-Za-z0-9._@+=,()!' -]*\.safetensors$",
        max_length=1024,
        examples=["loras/pixel-art-xl.safetensors"],
    ),
]
# Azure signs keys as they are written, and libraries as they are sent: they agree on what needs no escape.
BlobKey = Annotated[
    str,
    Field(
        description="Name of the weights file in the container, which ends with .safetensors. adapter_config.json and "
        "embeddings.safetensors with the same prefix belong to it.",
        pattern=r"^([A-Za-z0-9_@+=,-][A-Za-z0-9._@+=,-]*/)*[A-Za-z0-9_@+=,-][A-Za-z0-9._@+=,-]*\.safetensors$",
        max_length=1024,
    ),
]
Bucket = Annotated[
    str,
    Field(description="Name of the bucket.", pattern=r"^[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]$", max_length=222),
]
Endpoint = Annotated[
    str,
    Field(
        description="Address of the store where it is not the provider's own, on a host that the installation allows, "
        "as `url` sources have it.",
        pattern=r"^https?://[^/\s?#@\\]+(/[A-Za-z0-9._~-]+)*$",
        max_length=512,
        examples=["https://minio.example.org:9000"],
    ),
]
# What `adapters.identityPrefixes` of a pool holds.
ObjectPrefix = Annotated[
    str,
    Field(
        pattern=r"^(s3|gs|az|https?)://[^/\s?#@\\]+(/[^\s?#\\]*)?$", max_length=1024, examples=["s3://team-loras/sdxl"]
    ),
]


class CredentialsSecretRef(ApiModel):
    """A Secret in the adapter's own namespace with the credentials of a store, under their usual names."""

    name: str = Field(description="Name of the Secret.", min_length=1, max_length=253)


_ONE_IDENTITY = Rule(
    "!has(self.credentialsSecretRef) || !has(self.anonymous) || !self.anonymous",
    "anonymous and credentialsSecretRef exclude each other",
)


class StoredObject(ApiModel):
    """What the stores have in common: the key, and as whom the store is asked."""

    model_config = ConfigDict(json_schema_extra=rules(_ONE_IDENTITY))

    tells_sha256: ClassVar[bool] = False
    key: ObjectKey
    endpoint: Endpoint | None = None
    anonymous: bool = Field(
        default=False,
        description="Ask as nobody, for public objects. Default: with credentialsSecretRef, else with the identity of "
        "the pool's pods, where the pool's adapters.identityPrefixes lets adapters use it.",
    )
    credentials_secret_ref: CredentialsSecretRef | None = Field(
        default=None,
        description="Secret of the adapter's own namespace with the credentials of the store, by their usual names: "
        "AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN; GOOGLE_SERVICE_ACCOUNT_KEY, a key's JSON; "
        "AZURE_STORAGE_ACCOUNT_KEY or AZURE_STORAGE_SAS_TOKEN. The operator reads it where a Role of the namespace "
        "lets it get this one Secret, and the pod that fetches is given all of it.",
    )

    @property
    @abstractmethod
    def folder(self) -> str:
        """Where keys lie: `s3://bucket`, with the endpoint in the place of `s3:/` where there is one."""

    @property
    def label(self) -> str:
        return f"{self.folder}/{self.key}"

    @property
    def uses_pod_identity(self) -> bool:
        return not self.anonymous and self.credentials_secret_ref is None

    @property
    def is_seen_by_pods_only(self) -> bool:
        """The identity of the pods is not the operator's."""
        return self.uses_pod_identity

    def is_below(self, prefix: str) -> bool:
        """Whether the object lies below a prefix such as `s3://bucket/folder`."""
        return self.label.startswith(f"{prefix.rstrip('/')}/")


class S3Source(StoredObject):
    """An object in S3, or in a store that speaks like it."""

    bucket: Bucket
    region: str | None = Field(
        default=None,
        description="Region of the bucket; default: what the pods' environment says, else us-east-1.",
        pattern=r"^[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?$",
        max_length=32,
    )

    @property
    def folder(self) -> str:
        return f"{self.endpoint or 's3:/'}/{self.bucket}"


class GcsSource(StoredObject):
    """An object in Google Cloud Storage."""

    bucket: Bucket

    @property
    def folder(self) -> str:
        return f"{self.endpoint or 'gs:/'}/{self.bucket}"


class AzureSource(StoredObject):
    """A blob in Azure Blob Storage."""

    key: BlobKey
    account: str = Field(description="Name of the storage account.", pattern=r"^[a-z0-9]{3,24}$", max_length=24)
    container: str = Field(
        description="Name of the container.", pattern=r"^[a-z0-9$][a-z0-9-]{1,61}[a-z0-9]$", max_length=63
    )

    @property
    def folder(self) -> str:
        return f"{self.endpoint or f'az://{self.account}'}/{self.container}"


AnyStoredObject = S3Source | GcsSource | AzureSource
