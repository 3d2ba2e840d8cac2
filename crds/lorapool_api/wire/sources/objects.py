"""Objects in stores: S3 and what speaks like it, Google Cloud Storage, Azure Blob Storage."""

from abc import abstractmethod
from typing import ClassVar, Literal, Self

from pydantic import Field

from lorapool_api.wire.sources.file import SourceFile


class ObjectFile(SourceFile):
    """What the stores have in common."""

    has_sidecars: ClassVar[bool] = True

    container: str = Field(description="The bucket, or what the store calls it.")
    key: str
    region: str | None = Field(default=None, description="Of a bucket in S3.")
    account: str | None = Field(default=None, description="Of a container in Azure.")
    endpoint: str | None = Field(default=None, description="Where the store is; None: the provider's own.")
    anonymous: bool = Field(default=False, description="Asked as nobody, and not with the pod's own identity.")
    etag: str | None = Field(
        default=None,
        description="Of the content that is meant, without its quotes; None: what is there when it is read.",
    )

    @property
    def names_one_content(self) -> bool:
        return self.etag is not None

    @property
    def service(self) -> str:
        """The address below which the store's containers lie, without a slash at its end."""
        return self.endpoint or self._provider

    @property
    @abstractmethod
    def _provider(self) -> str:
        """The provider's own."""

    @property
    def owner(self) -> str:
        return f"{self.service}/{self.container}"

    def beside(self, name: str) -> Self:
        """The object of that name with the same prefix, whatever its content is."""
        folder = self.key.rpartition("/")[0]
        return self.model_copy(update={"key": f"{folder}/{name}" if folder else name, "etag": None})


class S3File(ObjectFile):
    """An object in S3."""

    kind: Literal["s3"] = "s3"

    @property
    def label(self) -> str:
        return f"{self.endpoint or 's3:/'}/{self.container}/{self.key}"

    @property
    def _provider(self) -> str:
        region = self.region or "us-east-1"
        return f"https://s3.{region}.amazonaws.com{'.cn' if region.startswith('cn-') else ''}"


class GcsFile(ObjectFile):
    """An object in Google Cloud Storage."""

    kind: Literal["gcs"] = "gcs"

    @property
    def label(self) -> str:
        return f"{self.endpoint or 'gs:/'}/{self.container}/{self.key}"

    @property
    def _provider(self) -> str:
        return "https://storage.googleapis.com"


class AzureFile(ObjectFile):
    """A blob in Azure Blob Storage."""

    kind: Literal["azure"] = "azure"

    @property
    def label(self) -> str:
        return f"{self.endpoint or f'az://{self.account}'}/{self.container}/{self.key}"

    @property
    def _provider(self) -> str:
        return f"https://{self.account}.blob.core.windows.net"


AnyObject = S3File | GcsFile | AzureFile
