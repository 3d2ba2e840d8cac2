"""The kinds of sources as a pod asks them: a row of `origin` and a class for each."""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Final, Protocol, assert_never

from pydantic import SecretStr

from lorapool_api.kinds.conditions import Reason
from lorapool_api.wire.config import RuntimeConfig
from lorapool_api.wire.credentials import Credentials, token_of
from lorapool_api.wire.sources.any import FileSource
from lorapool_api.wire.sources.artifacts import CivitaiFile, OciFile
from lorapool_api.wire.sources.basic import HubFile, PathFile, UrlFile
from lorapool_api.wire.sources.objects import AnyObject, AzureFile, GcsFile, S3File
from lorapool_api.wire.sources.other import OtherFile
from lorapool_runtime.credentials import CredentialsNeeded
from lorapool_runtime.errors import AdapterError
from lorapool_runtime.sources import hub, path, url
from lorapool_runtime.sources.artifacts.civitai import CivitaiDownload
from lorapool_runtime.sources.artifacts.oci import RegistryFile
from lorapool_runtime.sources.limits import Cancelled, Expected, Write
from lorapool_runtime.sources.stores import objects

_ATTEMPTS: Final = 3


@dataclass(frozen=True)
class SourceRules:
    """What sources may be, from the pool's configuration."""

    path_roots: tuple[str, ...]
    url_hosts: tuple[str, ...]
    max_file_bytes: int
    pod_root: str = ""
    path_hidden: tuple[str, ...] = ()
    civitai_endpoint: str | None = None

    @classmethod
    def of(cls, config: RuntimeConfig, pod_root: str, civitai_endpoint: str | None = None) -> "SourceRules":
        """`pod_root` stands before every path of the pod; empty where the pod has its own mounts."""
        roots = tuple(f"{pod_root}{root}" for root in config.path_roots)
        hidden = tuple(f"{pod_root}{folder}" for folder in config.path_hidden)
        return cls(roots, config.url_hosts, config.max_file_bytes, pod_root, hidden, civitai_endpoint)

    @property
    def folders(self) -> path.Folders:
        return path.Folders(self.path_roots, self.path_hidden)


class Origin(Protocol):
    """A file at its source. Blocking.

    Attributes:
        attempts: at one download in a row, where it fails for what may pass.
    """

    @property
    def attempts(self) -> int: ...

    def fetch(self, folder: Path, expected: Expected, cancelled: Cancelled, write: Write) -> tuple[Path, str]:
        """Bring the file into the folder; return it and its sha256. Raises: AdapterError."""

    def sidecar(self, name: str, folder: Path, max_bytes: int) -> bytes | None:
        """The small file of that name beside it, None where there is none; `folder` is working space.

        Raises: AdapterError.
        """


def origin(source: FileSource, rules: SourceRules, credentials: Credentials | None = None) -> Origin:
    """Who brings files of that kind.

    Raises:
        CredentialsNeeded: it is asked as somebody, and there are no credentials.
        AdapterError: it is of a kind that this version does not know.
    """
    if source.credentials is not None and credentials is None:
        raise CredentialsNeeded
    token = token_of(credentials or {})
    match source:
        case HubFile():
            return _HubOrigin(source, token)
        case UrlFile(url=address):
            return _UrlOrigin(address, token, rules)
        case PathFile(path=name):
            return _PathOrigin(f"{rules.pod_root}{name}", rules)
        case OciFile():
            return _OciOrigin(RegistryFile(source, rules.url_hosts, credentials))
        case S3File() | GcsFile() | AzureFile():
            return _StoreOrigin(source, credentials, rules)
        case CivitaiFile():
            return _CivitaiOrigin(CivitaiDownload(source, rules.url_hosts, rules.civitai_endpoint, token))
        case OtherFile(kind=kind):
            message = f"this pod's version cannot ask sources of the kind {kind!r}; a newer one can"
            raise AdapterError(Reason.INVALID_SPEC, message)
        case other:
            assert_never(other)


@dataclass(frozen=True)
class _HubOrigin:
    source: HubFile
    token: SecretStr | None
    attempts: ClassVar[int] = 1  # whoever waits for a file asks again, and the Hub counts what it is asked

    def fetch(self, folder: Path, expected: Expected, cancelled: Cancelled, write: Write) -> tuple[Path, str]:
        return hub.fetch(self.source, folder, expected, self.token, cancelled, write)

    def sidecar(self, name: str, folder: Path, max_bytes: int) -> bytes | None:
        return hub.fetch_sidecar(self.source, name, folder, max_bytes, self.token)


@dataclass(frozen=True)
class _UrlOrigin:
    address: str
    token: SecretStr | None
    rules: SourceRules
    attempts: ClassVar[int] = _ATTEMPTS

    def fetch(self, folder: Path, expected: Expected, cancelled: Cancelled, write: Write) -> tuple[Path, str]:
        target, hosts = folder / "file", self.rules.url_hosts
        return target, url.fetch(self.address, hosts, target, expected, cancelled, write, self.token)

    def sidecar(self, _name: str, _folder: Path, _max_bytes: int) -> bytes | None:
        return None


@dataclass(frozen=True)
class _PathOrigin:
    place: str
    rules: SourceRules
    attempts: ClassVar[int] = _ATTEMPTS

    def fetch(self, folder: Path, expected: Expected, cancelled: Cancelled, write: Write) -> tuple[Path, str]:
        target = folder / "file"
        return target, path.fetch(self.place, self.rules.folders, target, expected, cancelled, write)

    def sidecar(self, name: str, _folder: Path, max_bytes: int) -> bytes | None:
        return path.read_sidecar(self.place, name, self.rules.folders, max_bytes)


@dataclass(frozen=True)
class _OciOrigin:
    file: RegistryFile
    attempts: ClassVar[int] = _ATTEMPTS

    def fetch(self, folder: Path, expected: Expected, cancelled: Cancelled, write: Write) -> tuple[Path, str]:
        target = folder / "file"
        return target, self.file.fetch(target, expected, cancelled, write)

    def sidecar(self, name: str, _folder: Path, max_bytes: int) -> bytes | None:
        return self.file.sidecar(name, max_bytes)


@dataclass(frozen=True)
class _CivitaiOrigin:
    file: CivitaiDownload
    attempts: ClassVar[int] = _ATTEMPTS

    def fetch(self, folder: Path, expected: Expected, cancelled: Cancelled, write: Write) -> tuple[Path, str]:
        target = folder / "file"
        return target, self.file.fetch(target, expected, cancelled, write)

    def sidecar(self, _name: str, _folder: Path, _max_bytes: int) -> bytes | None:
        return None


@dataclass(frozen=True)
class _StoreOrigin:
    source: AnyObject
    credentials: Credentials | None
    rules: SourceRules
    attempts: ClassVar[int] = _ATTEMPTS

    def fetch(self, folder: Path, expected: Expected, cancelled: Cancelled, write: Write) -> tuple[Path, str]:
        target, hosts = folder / "file", self.rules.url_hosts
        return target, objects.fetch(self.source, hosts, target, expected, cancelled, write, self.credentials)

    def sidecar(self, name: str, folder: Path, max_bytes: int) -> bytes | None:
        return objects.fetch_sidecar(self.source, name, self.rules.url_hosts, folder, max_bytes, self.credentials)
