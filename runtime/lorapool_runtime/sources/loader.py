"""Loading one adapter's file: blocking steps on threads of their own, so that none holds up another."""

import asyncio
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from functools import partial
from typing import Final

from lorapool_api.kinds.conditions import Reason, Remedy
from lorapool_api.wire.catalog import CatalogEntry
from lorapool_api.wire.credentials import Credentials, CredentialsRef
from lorapool_api.wire.sources.any import FileSource
from lorapool_runtime.adapters.checker import Checker
from lorapool_runtime.adapters.file import AdapterFile
from lorapool_runtime.credentials import CredentialsNeeded
from lorapool_runtime.errors import AdapterError
from lorapool_runtime.sources.blobs import BlobFolder
from lorapool_runtime.sources.check_notes import FINITE
from lorapool_runtime.sources.fetch import Fetcher, GivenFile
from lorapool_runtime.sources.lanes import DOWNLOADS, Lanes

_COPIES: Final = 2
# Into the cache folder, for thousands of files at once: more threads would only wait for each other.
_LOOKS: Final = 4


async def _nobody(_: CatalogEntry) -> GivenFile | None:
    return None


async def _no_credentials(_key: str, ref: CredentialsRef) -> Credentials:
    raise AdapterError(Reason.SECRET_NOT_FOUND, f"there is no Secret {ref.secret} without Kubernetes")


class FileLoader:
    """Fetches and checks files off the event loop, with bounds on how many at once."""

    def __init__(
        self,
        fetcher: Fetcher,
        blobs: BlobFolder,
        max_rank: int,
        lanes: Lanes | None = None,
        checker: Checker | None = None,
        find: Callable[[CatalogEntry], Awaitable[GivenFile | None]] = _nobody,
        credentials: Callable[[str, CredentialsRef], Awaitable[Credentials]] = _no_credentials,
    ) -> None:
        """Args:
        find: waits for the pod whose turn it is to ask the source; None: it is this one's. Raises: AdapterError.
        credentials: waits for those of an adapter, by its key. Raises: AdapterError.
        """
        self._fetcher = fetcher
        self._find = find
        self._credentials = credentials
        self._blobs = blobs
        self._max_rank = max_rank
        self._checker = checker or Checker()
        self._downloads = ThreadPoolExecutor(DOWNLOADS, "download")
        self._copies = ThreadPoolExecutor(_COPIES, "copy")
        self._looks = ThreadPoolExecutor(_LOOKS, "look")
        self._lanes = lanes or Lanes()

    async def load(self, entry: CatalogEntry) -> AdapterFile:
        """The entry's file on disk, checked as far as that goes without a base.

        Cancelling it also stops the download. Raises: AdapterError.
        """
        loop = asyncio.get_running_loop()
        is_here = await loop.run_in_executor(self._looks, self._fetcher.is_here, entry)
        given = None if is_here else await self._find(entry)
        try:
            return await self._run(entry, given, None)
        except CredentialsNeeded:
            ref = entry.source.credentials
            if ref is None:
                raise
        credentials = await self._credentials(entry.key, ref)
        try:
            return await self._run(entry, None, credentials)
        except AdapterError as error:
            raise _of_credentials(error) from error

    async def _run(self, entry: CatalogEntry, given: GivenFile | None, credentials: Credentials | None) -> AdapterFile:
        """On a thread, when there is room. Raises: AdapterError, CredentialsNeeded."""
        loop, threads = asyncio.get_running_loop(), self._executor(entry.source)
        cancelled = threading.Event()
        work = partial(self._blocking, entry, given, credentials, cancelled)
        try:
            place = entry.source.owner if given is None else "pods"
            return await self._lanes.run(place, lambda: loop.run_in_executor(threads, work))
        finally:
            cancelled.set()

    def forget(self, source: FileSource) -> None:
        """The next time that the source is asked for it is read anew."""
        self._fetcher.forget(source)

    def discard(self, file: AdapterFile) -> None:
        """The file turned out to be of no use here."""
        self._blobs.drop(file.sha256)

    def close(self) -> None:
        for executor in (self._downloads, self._copies, self._looks):
            executor.shutdown(wait=False, cancel_futures=True)
        self._checker.close()

    def _executor(self, source: FileSource) -> Executor:
        return self._copies if source.is_local else self._downloads

    def _blocking(
        self, entry: CatalogEntry, given: GivenFile | None, credentials: Credentials | None, cancelled: threading.Event
    ) -> AdapterFile:
        blob = self._fetcher.fetch(entry, cancelled.is_set, given, credentials)
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


def _of_credentials(error: AdapterError) -> AdapterError:
    """What a source says to credentials is tried again: they may be replaced, though nobody edits the object."""
    is_about_them = error.reason.traits.remedy is Remedy.HELP
    return AdapterError(error.reason, error.message, transient=True) if is_about_them else error
