"""The blocking steps from a catalog entry to a checked file, wherever they run."""

from lorapool_api.wire.catalog import CatalogEntry
from lorapool_api.wire.credentials import Credentials
from lorapool_runtime.adapters.checker import Checker
from lorapool_runtime.adapters.file import AdapterFile
from lorapool_runtime.errors import AdapterError
from lorapool_runtime.sources.blobs import BlobFolder
from lorapool_runtime.sources.check_notes import FINITE
from lorapool_runtime.sources.fetch import Fetcher, GivenFile
from lorapool_runtime.sources.limits import Cancelled


class FileSteps:
    """Blocking; safe to call from many threads at once."""

    def __init__(self, fetcher: Fetcher, blobs: BlobFolder, max_rank: int, checker: Checker) -> None:
        self._fetcher = fetcher
        self._blobs = blobs
        self._max_rank = max_rank
        self._checker = checker

    def fetch(
        self, entry: CatalogEntry, given: GivenFile | None, credentials: Credentials | None, cancelled: Cancelled
    ) -> AdapterFile:
        """The entry's file on disk, checked as far as that goes without a base.

        Raises: AdapterError, CredentialsNeeded.
        """
        blob = self._fetcher.fetch(entry, cancelled, given, credentials)
        # The note of an earlier process is enough for now: `prove` the blob before its weights are used.
        weights = not self._blobs.notes.passed(blob.path, FINITE)
        try:
            facts = self._checker.check(blob.path, self._max_rank, weights=weights)
        except AdapterError as error:
            if not error.transient:  # useless for every base; whoever wants to look at it has the source
                self._blobs.drop(blob.sha256)
                self._fetcher.forget(entry.source)
            raise
        if weights:
            self._blobs.notes.note(blob.path, FINITE)
        sidecars = self._fetcher.sidecars(entry, facts.format, credentials)
        return AdapterFile(blob.path, blob.sha256, facts, sidecars)

    def close(self) -> None:
        self._checker.close()
