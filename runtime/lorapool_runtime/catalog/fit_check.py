"""Whether the warm base can serve a file: by its header, and by reading it whole, which is done once."""

import asyncio
import hashlib
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from typing import Protocol

from lorapool_api.lora.fit import Modules, check_fits
from lorapool_runtime.adapters.file import AdapterFile
from lorapool_runtime.catalog.host.cache import HostCache
from lorapool_runtime.sources.blobs import BlobFolder


class Base(Protocol):
    """A warm base model."""

    @property
    def revision(self) -> str: ...
    @property
    def modules(self) -> Modules: ...


class FitCheck:
    """Checks files against the warm base. Lives on the event loop."""

    def __init__(self, blobs: BlobFolder, memory: HostCache, base: Callable[[], Awaitable[Base]], engine: str) -> None:
        """`base` waits until the base is warm; `engine` is all of its configuration that decides what it reads."""
        self._blobs = blobs
        self._memory = memory
        self._base = base
        self._engine = f"{engine} {version('lorapool')}"
        self._thread = ThreadPoolExecutor(1, "check")

    async def check(self, file: AdapterFile) -> None:
        """Wait for the base, and return when it can serve the file.

        A file that an earlier process has read for the same base is not read again.

        Raises:
            AdapterError, FactsError: it cannot.
            FileNotFoundError: the file has left the disk.
        """
        base = await self._base()
        test = self._test(file, base)
        loop = asyncio.get_running_loop()
        if await loop.run_in_executor(self._thread, self._fits, file, base, test):
            return
        await self._memory.check(file)
        await loop.run_in_executor(self._thread, self._blobs.notes.note, file.path, test)

    def close(self) -> None:
        self._thread.shutdown(wait=False, cancel_futures=True)

    def _fits(self, file: AdapterFile, base: Base, test: str) -> bool:
        """Whether it need not be read. On a thread: a base and a file name hundreds of modules."""
        check_fits(file.facts, base.modules)
        return self._blobs.notes.passed(file.path, test)

    def _test(self, file: AdapterFile, base: Base) -> str:
        """The name of: this change of a base, read by this engine for this base."""
        names = f"{self._engine} {base.revision} {file.identity}"
        return f"read {hashlib.sha256(names.encode()).hexdigest()[:32]}"
