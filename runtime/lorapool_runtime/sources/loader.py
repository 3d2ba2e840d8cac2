"""Loading one adapter's file: blocking steps on threads of their own, so that none holds up another."""

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Final

import structlog

from lorapool_api.kinds.conditions import Reason, Remedy
from lorapool_api.wire.catalog import CatalogEntry
from lorapool_api.wire.credentials import Credentials, CredentialsRef
from lorapool_api.wire.sources.any import FileSource
from lorapool_runtime.adapters.checker import Checker
from lorapool_runtime.adapters.file import AdapterFile
from lorapool_runtime.credentials import CredentialsNeeded
from lorapool_runtime.errors import AdapterError
from lorapool_runtime.sources.ahead.many import FilesAhead
from lorapool_runtime.sources.ahead.process import AheadGone, AheadProcess
from lorapool_runtime.sources.ahead.steps import FileSteps
from lorapool_runtime.sources.blobs import BlobFolder
from lorapool_runtime.sources.fetch import Fetcher
from lorapool_runtime.sources.lanes import DOWNLOADS, Lanes
from lorapool_runtime.sources.pods.peer_file import PeerFile

log = structlog.get_logger(__name__)

_COPIES: Final = 2
# Into the cache folder, for thousands of files at once: more threads would only wait for each other.
_LOOKS: Final = 4


async def _nobody(_: CatalogEntry) -> PeerFile | None:
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
        find: Callable[[CatalogEntry], Awaitable[PeerFile | None]] = _nobody,
        credentials: Callable[[str, CredentialsRef], Awaitable[Credentials]] = _no_credentials,
        ahead: FilesAhead | None = None,
        on_fetched: Callable[[float], None] = lambda took_s: None,
    ) -> None:
        """Args:
        find: waits for the pod whose turn it is to ask the source; None: it is this one's. Raises: AdapterError.
        credentials: waits for those of an adapter, by its key. Raises: AdapterError.
        ahead: where files are brought that no request waits for; None: on threads of this process.
        on_fetched: told how many seconds a file took that was not here, once it was its turn.
        """
        self._fetcher = fetcher
        self._find = find
        self._credentials = credentials
        self._blobs = blobs
        self._steps = FileSteps(fetcher, blobs, max_rank, checker or Checker())
        self._ahead = ahead or FilesAhead(None)
        self._downloads = ThreadPoolExecutor(DOWNLOADS, "download")
        self._copies = ThreadPoolExecutor(_COPIES, "copy")
        self._looks = ThreadPoolExecutor(_LOOKS, "look")
        self._lanes = lanes or Lanes()
        self._on_fetched = on_fetched

    async def load(self, entry: CatalogEntry, *, is_ahead: bool = False) -> AdapterFile:
        """The entry's file on disk, checked as far as that goes without a base.

        Args:
            is_ahead: no request waits for it. Where it is one of many, another process brings it.

        Cancelling it also stops the download. Raises: AdapterError.
        """
        if not is_ahead:
            return await self._load(entry, is_ahead=False)
        with self._ahead.one_more():
            return await self._load(entry, is_ahead=True)

    async def _load(self, entry: CatalogEntry, *, is_ahead: bool) -> AdapterFile:
        loop = asyncio.get_running_loop()
        is_here, is_known = await loop.run_in_executor(self._looks, self._look, entry)
        given = None if is_here else await self._find(entry)
        try:
            return await self._run(entry, given, None, is_ahead=is_ahead, is_known=is_known)
        except CredentialsNeeded:
            ref = entry.source.credentials
            if ref is None:
                raise
        credentials = await self._credentials(entry.key, ref)
        try:
            return await self._run(entry, None, credentials, is_ahead=is_ahead, is_known=is_known)
        except AdapterError as error:
            raise _of_credentials(error) from error

    def _look(self, entry: CatalogEntry) -> tuple[bool, bool]:
        """Whether nobody else need be asked, and whether the file lies in the folder; blocking."""
        is_here = self._fetcher.is_here(entry)
        # What lies beside the file may be all that is missing.
        return is_here, (is_here and not entry.source.is_local) or not self._fetcher.lacks(entry)

    async def _run(
        self,
        entry: CatalogEntry,
        given: PeerFile | None,
        credentials: Credentials | None,
        *,
        is_ahead: bool,
        is_known: bool,
    ) -> AdapterFile:
        """When there is room, here or in the other process. Raises: AdapterError, CredentialsNeeded."""

        async def work() -> AdapterFile:
            process = await self._ahead.ready() if is_ahead else None
            began_s = time.monotonic()
            file = await self._fetch(process, entry, given, credentials)
            if not is_known:
                self._on_fetched(time.monotonic() - began_s)
            return file

        return await self._lanes.run(entry.source.owner if given is None else "pods", work)

    async def _fetch(
        self,
        process: AheadProcess | None,
        entry: CatalogEntry,
        given: PeerFile | None,
        credentials: Credentials | None,
    ) -> AdapterFile:
        if process is not None:
            try:
                return await self._brought(process, entry, given, credentials)
            except AheadGone:
                log.info("bringing a file here that was ordered elsewhere", adapter=entry.key)
        return await self._here(entry, given, credentials)

    async def _brought(
        self, process: AheadProcess, entry: CatalogEntry, given: PeerFile | None, credentials: Credentials | None
    ) -> AdapterFile:
        """By the other process. Raises: AheadGone, AdapterError, CredentialsNeeded."""
        answer = await process.fetch(entry, given, credentials)
        self._blobs.evictions += answer.evictions
        file = await asyncio.get_running_loop().run_in_executor(self._looks, answer.file)
        self._blobs.trust(file.sha256)
        return file

    async def _here(self, entry: CatalogEntry, given: PeerFile | None, credentials: Credentials | None) -> AdapterFile:
        """On a thread. Raises: AdapterError, CredentialsNeeded."""
        loop, cancelled = asyncio.get_running_loop(), threading.Event()
        threads = self._copies if entry.source.is_local else self._downloads
        work = partial(self._steps.fetch, entry, given, credentials, cancelled.is_set)
        try:
            return await loop.run_in_executor(threads, work)
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
        self._steps.close()
        self._ahead.close()


def _of_credentials(error: AdapterError) -> AdapterError:
    """What a source says to credentials is tried again: they may be replaced, though nobody edits the object."""
    is_about_them = error.reason.traits.remedy is Remedy.HELP
    return AdapterError(error.reason, error.message, transient=True) if is_about_them else error
