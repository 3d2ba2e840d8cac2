"""Adapters that no LoraAdapter declares, brought when a request names them: bounded in number, looked up once.

They stand beside the catalog: a new catalog leaves them, the operator is not told of them, and they are the first to
leave the disk.
"""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import Final, Protocol

import structlog

from lorapool_api.kinds.conditions import Reason
from lorapool_api.rules.undeclared import undeclared_repo
from lorapool_api.wire.catalog import CatalogEntry
from lorapool_api.wire.reply import ErrorCode
from lorapool_runtime.catalog.slot import CatalogSlot
from lorapool_runtime.errors import AdapterError, RequestError

log = structlog.get_logger(__name__)

MOST_UNDECLARED: Final = 256
MOST_REFUSED: Final = 1024
# A repository that is none, or no adapter of this base, may become one.
REFUSED_S: Final = 300.0
# After that its branch is looked at anew, while the adapter serves on.
FRESH_S: Final = 3600.0
_LOOKS_AT_ONCE: Final = 4
_MOST_LOOKS: Final = 32

Look = Callable[[str], CatalogEntry]


class BesideCatalog(Protocol):
    """The registry, as far as this needs it."""

    def slot(self, key: str) -> CatalogSlot | None: ...
    def add(self, entry: CatalogEntry) -> None: ...
    def remove(self, key: str) -> None: ...


class UndeclaredAdapters:
    """Lives on the event loop."""

    def __init__(
        self,
        registry: BesideCatalog,
        look: Look | None,
        most: int = MOST_UNDECLARED,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`look` says which file a repository means, on a thread; raises AdapterError. None: the pool serves none."""
        self._registry = registry
        self._look = look
        self._most = most
        self._clock = clock
        self._looked_at_s: OrderedDict[str, float] = OrderedDict()  # the one that was used last at the end
        self._refused: OrderedDict[str, tuple[AdapterError, float]] = OrderedDict()
        self._looks: dict[str, asyncio.Task[None]] = {}
        self._at_once = asyncio.Semaphore(_LOOKS_AT_ONCE)

    async def admit(self, keys: Iterable[str]) -> None:
        """Return when those of these that are undeclared can be asked for like any other.

        Raises:
            RequestError: `AdapterFailed` with the reason; `AdapterNotReady` where the Hub is away; `TooManyPending`.
        """
        for key in dict.fromkeys(keys):
            repo = undeclared_repo(key)
            if repo is not None:
                await self._admit(key, repo)

    async def _admit(self, key: str, repo: str) -> None:
        if self._look is None:
            text = f"no LoraAdapter declares {repo}, and the pool serves only what is declared (adapters.undeclared)"
            raise RequestError(ErrorCode.ADAPTER_FAILED, text, reason=Reason.SOURCE_FORBIDDEN)
        self._forget_old_failure(key)
        if self._registry.slot(key) is not None and key in self._looked_at_s:
            self._looked_at_s.move_to_end(key)
            if self._clock() - self._looked_at_s[key] >= FRESH_S and key not in self._looks:
                self._looked_at_s[key] = self._clock()
                self._start(key, repo, self._look)
            return
        refused, until_s = self._refused.get(key, (None, 0.0))
        if refused is not None and self._clock() < until_s:
            raise _refusal(refused)
        if key not in self._looks and len(self._looks) >= _MOST_LOOKS:
            text = f"{_MOST_LOOKS} repositories are being looked up already"
            raise RequestError(ErrorCode.TOO_MANY_PENDING, text, retryable=True)
        task = self._looks.get(key) or self._start(key, repo, self._look)
        try:
            await asyncio.shield(task)
        except AdapterError as error:
            raise _refusal(error) from error

    def _forget_old_failure(self, key: str) -> None:
        """What was refused for good a while ago is looked at anew."""
        slot = self._registry.slot(key)
        if slot is None or slot.error is None or slot.error.transient:
            return
        if asyncio.get_running_loop().time() - slot.failed_at_s >= REFUSED_S:
            self._remove(key)

    def _start(self, key: str, repo: str, look: Look) -> asyncio.Task[None]:
        task = self._looks[key] = asyncio.create_task(self._look_up(key, repo, look), name=f"look up {repo}")
        task.add_done_callback(lambda done: self._looked(key, done))
        return task

    def _looked(self, key: str, done: asyncio.Task[None]) -> None:
        del self._looks[key]
        if not done.cancelled() and done.exception() is not None:
            log.info("a repository is not served", adapter=key, error=str(done.exception())[:500])

    async def _look_up(self, key: str, repo: str, look: Look) -> None:
        try:
            async with self._at_once:
                entry = await asyncio.to_thread(look, repo)
        except AdapterError as error:
            if not error.transient and key not in self._looked_at_s:
                self._refused[key] = error, self._clock() + REFUSED_S
                self._refused.move_to_end(key)
                if len(self._refused) > MOST_REFUSED:
                    self._refused.popitem(last=False)
            raise
        self._refused.pop(key, None)
        self._looked_at_s[key] = self._clock()
        self._looked_at_s.move_to_end(key)
        self._registry.add(entry)
        while len(self._looked_at_s) > self._most:
            self._remove(self._oldest())

    def _oldest(self) -> str:
        """The one that was used least recently; one that is on its way only where there is no other."""
        slots = ((key, self._registry.slot(key)) for key in self._looked_at_s)
        idle = (key for key, slot in slots if slot is None or not slot.is_on_its_way)
        return next(idle, next(iter(self._looked_at_s)))

    def _remove(self, key: str) -> None:
        self._looked_at_s.pop(key, None)
        self._registry.remove(key)

    async def close(self) -> None:
        """Look no more up."""
        looks = list(self._looks.values())
        for task in looks:
            task.cancel()
        await asyncio.gather(*looks, return_exceptions=True)


def _refusal(error: AdapterError) -> RequestError:
    code = ErrorCode.ADAPTER_NOT_READY if error.transient else ErrorCode.ADAPTER_FAILED
    return RequestError(code, error.message, reason=error.reason, retryable=error.transient)
