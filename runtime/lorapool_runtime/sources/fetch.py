"""One catalog entry's file: from wherever it is to a blob on this pod's disk."""

from pathlib import Path
from typing import Final, Protocol

import structlog
from tenacity import Retrying, retry_if_exception, stop_after_attempt, wait_random_exponential
from tenacity.wait import wait_base

from lorapool_api.fetch.hub_files import EMBEDDINGS, PEFT_CONFIG
from lorapool_api.kinds.adapter import AdapterFormat
from lorapool_api.kinds.conditions import Reason
from lorapool_api.rules.undeclared import undeclared_repo
from lorapool_api.wire.catalog import CatalogEntry
from lorapool_api.wire.credentials import Credentials
from lorapool_api.wire.sources.any import FileSource
from lorapool_runtime.adapters.file import Sidecars
from lorapool_runtime.errors import AdapterError
from lorapool_runtime.sources.blobs import Blob, BlobFolder, source_digest
from lorapool_runtime.sources.limits import Cancelled, Expected, Write, write_hashed
from lorapool_runtime.sources.origins import Origin, SourceRules, origin
from lorapool_runtime.sources.sidecars import SidecarNotes

log = structlog.get_logger(__name__)

# A configuration is JSON, and small; 256 words of two encoders in float32 take 2 MiB.
_CONFIG_MAX_BYTES: Final = 256 * 1024
_EMBEDDINGS_MAX_BYTES: Final = 4 * 1024 * 1024
_WAIT: Final = wait_random_exponential(multiplier=1, max=8)


class GivenFile(Protocol):
    """A file that another pod has, and what lies beside it there."""

    @property
    def sidecars(self) -> Sidecars: ...
    def fetch(self, target: Path, expected: Expected, cancelled: Cancelled) -> str: ...


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
        if entry.source.is_local:
            return True
        return not self.lacks(entry) and self._noted(entry) is not None

    def lacks(self, entry: CatalogEntry) -> bool:
        """Whether the file has to be brought, from wherever it is."""
        return self._known(entry) is None

    def fetch(
        self,
        entry: CatalogEntry,
        cancelled: Cancelled,
        given: GivenFile | None = None,
        credentials: Credentials | None = None,
    ) -> Blob:
        """The entry's file as a blob; from the folder where it is there already, else from another pod that has it.

        A burst of calls, from here or from other processes on the same folder, downloads once. Failures that
        may pass are tried again, three times at most; whoever calls may ask again later.

        Raises:
            AdapterError: the file cannot be had, or is not the expected one.
            CredentialsNeeded: its source has to be asked with credentials.
        """
        try:
            with self._blobs.locked(entry.sha256 or source_digest(entry.source)):
                is_declared = undeclared_repo(entry.key) is None
                blob = self._known(entry)
                if blob is None:
                    there = self._from_pod(entry, cancelled, given)
                    blob = there or self._retrying(entry, cancelled, credentials)
                    self._blobs.leave_first(blob.sha256, is_first=not is_declared)
                elif is_declared:
                    self._blobs.leave_first(blob.sha256, is_first=False)
                return blob
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
        if entry.source.has_sidecars and not entry.alone:
            self._notes.put(entry.source, given.sidecars)
        return blob

    def sidecars(self, entry: CatalogEntry, layout: AdapterFormat, credentials: Credentials | None = None) -> Sidecars:
        """What lies beside the file and belongs to it, where its source has folders.

        Raises: AdapterError, CredentialsNeeded.
        """
        noted = self._noted(entry)
        if noted is None:
            noted = self._sidecars(entry, layout, credentials)
            if not entry.source.is_local:
                self._notes.put(entry.source, noted)
        return noted

    def _noted(self, entry: CatalogEntry) -> Sidecars | None:
        """What is known to lie beside the file; None: that has to be looked up."""
        if entry.alone or not entry.source.has_sidecars:
            return Sidecars()
        return None if entry.source.is_local else self._notes.get(entry.source)

    def forget(self, source: FileSource) -> None:
        """The next time that the source is asked for, it is read anew."""
        self._blobs.forget(source)
        self._notes.forget(source)

    def _sidecars(self, entry: CatalogEntry, layout: AdapterFormat, credentials: Credentials | None) -> Sidecars:
        at = origin(entry.source, self._rules, credentials)
        config = self._small(at, PEFT_CONFIG, _CONFIG_MAX_BYTES) if layout is AdapterFormat.PEFT else None
        return Sidecars(config, self._small(at, EMBEDDINGS, _EMBEDDINGS_MAX_BYTES))

    def _small(self, at: Origin, name: str, max_bytes: int) -> bytes | None:
        with self._blobs.working_folder() as folder:
            return at.sidecar(name, folder, max_bytes)

    def _known(self, entry: CatalogEntry) -> Blob | None:
        known = entry.sha256
        if known is None and not entry.source.is_local:
            known = self._blobs.remembered(entry.source)
        return self._blobs.find(known) if known else None

    def _retrying(self, entry: CatalogEntry, cancelled: Cancelled, credentials: Credentials | None) -> Blob:
        at = origin(entry.source, self._rules, credentials)
        retrying = Retrying(
            stop=stop_after_attempt(at.attempts),
            wait=self._wait,
            retry=retry_if_exception(lambda e: isinstance(e, AdapterError) and e.transient and not cancelled()),
            reraise=True,
        )
        return retrying(self._download, at, entry, cancelled)

    def _download(self, at: Origin, entry: CatalogEntry, cancelled: Cancelled) -> Blob:
        expected = Expected(entry.sha256, entry.size_bytes, self._rules.max_file_bytes)
        with self._blobs.working_folder() as folder:
            file, sha256 = at.fetch(folder, expected, cancelled, self._write)
            blob = self._blobs.adopt(file, sha256)
        self._blobs.remember(entry.source, sha256)
        return blob
