"""One catalog entry's file: from wherever it is to a blob on this pod's disk."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple, Protocol, assert_never

import structlog
from tenacity import Retrying, retry_if_exception, stop_after_attempt, wait_random_exponential
from tenacity.wait import wait_base

from lorapool_api.kinds.adapter import AdapterFormat
from lorapool_api.kinds.conditions import Reason
from lorapool_api.wire.catalog import CatalogEntry, FileSource, HubFile, PathFile, UrlFile
from lorapool_api.wire.config import RuntimeConfig
from lorapool_runtime.adapters.file import Sidecars
from lorapool_runtime.errors import AdapterError
from lorapool_runtime.sources import hub, path, url
from lorapool_runtime.sources.blobs import Blob, BlobFolder, source_digest
from lorapool_runtime.sources.limits import Expected, Write, write_hashed
from lorapool_runtime.sources.sidecars import SidecarNotes

log = structlog.get_logger(__name__)

PEFT_CONFIG: Final = "adapter_config.json"
EMBEDDINGS: Final = "embeddings.safetensors"
# A configuration is JSON, and small; 256 words of two encoders in float32 take 2 MiB.
_CONFIG_MAX_BYTES: Final = 256 * 1024
_EMBEDDINGS_MAX_BYTES: Final = 4 * 1024 * 1024
_ATTEMPTS: Final = 3
_WAIT: Final = wait_random_exponential(multiplier=1, max=8)

Cancelled = Callable[[], bool]


class GivenFile(Protocol):
    """A file that another pod has, and what lies beside it there."""

    @property
    def sidecars(self) -> Sidecars: ...
    def fetch(self, target: Path, expected: Expected, cancelled: Cancelled) -> str: ...


@dataclass(frozen=True)
class SourceRules:
    """What sources may be, from the pool's configuration."""

    path_roots: tuple[str, ...]
    url_hosts: tuple[str, ...]
    max_file_bytes: int
    pod_root: str = ""
    path_hidden: tuple[str, ...] = ()

    @classmethod
    def of(cls, config: RuntimeConfig, pod_root: str) -> "SourceRules":
        """`pod_root` stands before every path of the pod; empty where the pod has its own mounts."""
        roots = tuple(f"{pod_root}{root}" for root in config.path_roots)
        hidden = tuple(f"{pod_root}{folder}" for folder in config.path_hidden)
        return cls(roots, config.url_hosts, config.max_file_bytes, pod_root, hidden)

    @property
    def folders(self) -> path.Folders:
        return path.Folders(self.path_roots, self.path_hidden)


class Fetcher:
    """Brings files to the blob folder. Blocking; safe to call from many threads at once."""

    def __init__(
        self, blobs: BlobFolder, rules: SourceRules, wait: wait_base = _WAIT, write: Write = write_hashed
    ) -> None:
        self._blobs = blobs
        self._notes = SidecarNotes(blobs.root / "sidecars")
        self._rules = rules
        self._wait = wait
        self._write = write

    def is_here(self, entry: CatalogEntry) -> bool:
        """Whether neither the source nor another pod need be asked. A file on a volume is not brought by others."""
        if isinstance(entry.source, PathFile):
            return True
        return self._known(entry) is not None and self._noted(entry.source) is not None

    def fetch(self, entry: CatalogEntry, cancelled: Cancelled, given: GivenFile | None = None) -> Blob:
        """The entry's file as a blob; from the folder where it is there already, else from another pod that has it.

        A burst of calls, from here or from other processes on the same folder, downloads once. Failures that
        may pass are tried again, three times at most; whoever calls may ask again later.

        Raises:
            AdapterError: the file cannot be had, or is not the expected one.
        """
        try:
            with self._blobs.locked(entry.sha256 or source_digest(entry.source)):
                return self._known(entry) or self._from_pod(entry, cancelled, given) or self._retrying(entry, cancelled)
        except OSError as error:
            message = f"the cache folder cannot be written: {error.strerror or error}"
            raise AdapterError(Reason.POD_FAILED, message, transient=True) from error

    def _from_pod(self, entry: CatalogEntry, cancelled: Cancelled, given: GivenFile | None) -> Blob | None:
        """None: nobody gives it, or not this file."""
        if given is None:
            return None
        expected = Expected(entry.sha256, entry.size_bytes, self._rules.max_file_bytes)
        try:
            with self._blobs.working_folder() as folder:
                sha256 = given.fetch(folder / "file", expected, cancelled)
                expected.check_sha256(sha256)
                blob = self._blobs.adopt(folder / "file", sha256)
        except AdapterError as error:
            if cancelled():
                raise
            log.warning("no other pod gives the file; asking its source", adapter=entry.key, error=error.message)
            return None
        self._blobs.remember(entry.source, sha256)
        if isinstance(entry.source, HubFile):
            self._notes.put(entry.source, given.sidecars)
        return blob

    def sidecars(self, entry: CatalogEntry, layout: AdapterFormat) -> Sidecars:
        """What lies beside the file and belongs to it, where its source has folders. Raises: AdapterError."""
        noted = self._noted(entry.source)
        if noted is None:
            noted = self._sidecars(entry, layout)
            if isinstance(entry.source, HubFile):
                self._notes.put(entry.source, noted)
        return noted

    def _noted(self, source: FileSource) -> Sidecars | None:
        """What is known to lie beside the file; None: that has to be looked up."""
        match source:
            case HubFile():
                return self._notes.get(source)
            case UrlFile():
                return Sidecars()
            case PathFile():
                return None
            case other:
                assert_never(other)

    def forget(self, source: FileSource) -> None:
        """The next time that the source is asked for, it is read anew."""
        self._blobs.forget(source)
        self._notes.forget(source)

    def _sidecars(self, entry: CatalogEntry, layout: AdapterFormat) -> Sidecars:
        config = self._small(entry, PEFT_CONFIG, _CONFIG_MAX_BYTES) if layout is AdapterFormat.PEFT else None
        return Sidecars(config, self._small(entry, EMBEDDINGS, _EMBEDDINGS_MAX_BYTES))

    def _small(self, entry: CatalogEntry, name: str, max_bytes: int) -> bytes | None:
        match entry.source:
            case HubFile() as source:
                with self._blobs.working_folder() as folder:
                    return hub.fetch_sidecar(source, name, folder, max_bytes)
            case PathFile(path=weights):
                return path.read_sidecar(f"{self._rules.pod_root}{weights}", name, self._rules.folders, max_bytes)
            case UrlFile():
                return None
            case other:
                assert_never(other)

    def _known(self, entry: CatalogEntry) -> Blob | None:
        known = entry.sha256
        if known is None and _policy(entry.source).is_remembered:
            known = self._blobs.remembered(entry.source)
        return self._blobs.find(known) if known else None

    def _retrying(self, entry: CatalogEntry, cancelled: Cancelled) -> Blob:
        retrying = Retrying(
            stop=stop_after_attempt(_policy(entry.source).attempts),
            wait=self._wait,
            retry=retry_if_exception(lambda e: isinstance(e, AdapterError) and e.transient and not cancelled()),
            reraise=True,
        )
        return retrying(self._download, entry, cancelled)

    def _download(self, entry: CatalogEntry, cancelled: Cancelled) -> Blob:
        expected = Expected(entry.sha256, entry.size_bytes, self._rules.max_file_bytes)
        with self._blobs.working_folder() as folder:
            file, sha256 = self._fetch_to(entry, folder, expected, cancelled)
            blob = self._blobs.adopt(file, sha256)
        self._blobs.remember(entry.source, sha256)
        return blob

    def _fetch_to(
        self, entry: CatalogEntry, folder: Path, expected: Expected, cancelled: Cancelled
    ) -> tuple[Path, str]:
        target = folder / "file"
        match entry.source:
            case HubFile() as source:
                return hub.fetch(source, folder, expected)
            case UrlFile(url=address):
                return target, url.fetch(address, self._rules.url_hosts, target, expected, cancelled, self._write)
            case PathFile(path=name):
                return target, path.fetch(
                    f"{self._rules.pod_root}{name}", self._rules.folders, target, expected, cancelled, self._write
                )
            case other:
                assert_never(other)


class _Policy(NamedTuple):
    """How a kind of source is treated.

    Attributes:
        attempts: at one download, in a row.
        is_remembered: what it held once is taken from the folder the next time.
    """

    attempts: int
    is_remembered: bool


def _policy(source: FileSource) -> _Policy:
    match source:
        case HubFile():
            return _Policy(attempts=1, is_remembered=True)  # huggingface_hub tries again by itself
        case UrlFile():
            return _Policy(_ATTEMPTS, is_remembered=True)
        case PathFile():
            return _Policy(_ATTEMPTS, is_remembered=False)  # it may have been replaced, and costs no download
        case other:
            assert_never(other)
