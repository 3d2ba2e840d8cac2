"""Getting one adapter ready: blocking steps on threads of their own, so that none holds up another."""

import asyncio
import threading
from collections import defaultdict
from concurrent.futures import Executor, ThreadPoolExecutor
from typing import Final
from urllib.parse import urlsplit

from lorapool_api.wire.catalog import CatalogEntry, FileSource, PathFile, UrlFile
from lorapool_runtime.errors import AdapterError
from lorapool_runtime.formats.check import check_file
from lorapool_runtime.store.blobs import BlobFolder
from lorapool_runtime.store.fetch import Fetcher
from lorapool_runtime.store.files import AdapterFile

_DOWNLOADS: Final = 16
# Of these at most so many from one host: one that hangs leaves room for the others.
_DOWNLOADS_PER_HOST: Final = 4
_COPIES: Final = 2


class Bringer:
    """Fetches and checks files off the event loop, with bounds on how many at once."""

    def __init__(self, fetcher: Fetcher, blobs: BlobFolder, max_rank: int) -> None:
        self._fetcher = fetcher
        self._blobs = blobs
        self._max_rank = max_rank
        self._downloads = ThreadPoolExecutor(_DOWNLOADS, "download")
        self._copies = ThreadPoolExecutor(_COPIES, "copy")
        self._per_host: defaultdict[str, asyncio.Semaphore] = defaultdict(
            lambda: asyncio.Semaphore(_DOWNLOADS_PER_HOST)
        )

    async def bring(self, entry: CatalogEntry) -> AdapterFile:
        """The entry's file on disk, checked as far as that goes without a base.

        Cancelling it also stops the download. Raises: AdapterError.
        """
        cancelled = threading.Event()
        try:
            async with self._per_host[_host(entry.source)]:
                return await asyncio.get_running_loop().run_in_executor(
                    self._executor(entry.source), self._blocking, entry, cancelled
                )
        finally:
            cancelled.set()

    def forget(self, source: FileSource) -> None:
        """The next time that the source is asked for it is read anew."""
        self._blobs.forget(source)

    def close(self) -> None:
        for executor in (self._downloads, self._copies):
            executor.shutdown(wait=False, cancel_futures=True)

    def _executor(self, source: FileSource) -> Executor:
        return self._copies if isinstance(source, PathFile) else self._downloads

    def _blocking(self, entry: CatalogEntry, cancelled: threading.Event) -> AdapterFile:
        blob = self._fetcher.fetch(entry, cancelled.is_set)
        try:
            facts = check_file(blob.path, self._max_rank)
        except AdapterError:
            # Useless for every base; whoever wants to look at it has the source.
            self._blobs.drop(blob.sha256)
            self._blobs.forget(entry.source)
            raise
        return AdapterFile(blob.path, blob.sha256, facts, self._fetcher.beside(entry, facts.format))


def _host(source: FileSource) -> str:
    match source:
        case UrlFile(url=address):
            return urlsplit(address).netloc
        case _:
            return source.kind
