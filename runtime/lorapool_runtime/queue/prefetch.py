"""The weights of the requests that come next: in host memory before their turn, and no others held there."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Final, Protocol

import structlog

from lorapool_api.wire.reply import ErrorCode
from lorapool_runtime.adapters.file import AdapterFile, Chosen, HostAdapter
from lorapool_runtime.engine.contract import Use
from lorapool_runtime.errors import RequestError
from lorapool_runtime.queue.entry import Job

log = structlog.get_logger(__name__)

# So many stacks beyond the one that runs are kept ready; what they take counts to the host's budget.
STACKS: Final = 4

Identities = tuple[str, ...]
Load = Callable[[Chosen], Awaitable[HostAdapter]]


class Memory(Protocol):
    """Host memory. What is held stays."""

    def holds(self, identity: str) -> bool: ...
    def now(self, identity: str) -> HostAdapter | None: ...
    def fits(self, files: Iterable[AdapterFile]) -> bool: ...
    def hold(self, adapter: HostAdapter) -> None: ...
    def release(self, identity: str) -> None: ...


class Nearby:
    """Lives on the event loop."""

    def __init__(
        self,
        memory: Memory,
        load: Load,
        on_change: Callable[[], None],
        on_failed: Callable[[Identities, RequestError], None],
    ) -> None:
        """`on_change`: what was on its way is here, or is not coming. `on_failed`: it cannot be had, and why."""
        self._memory = memory
        self._load = load
        self._on_change = on_change
        self._on_failed = on_failed
        self._held: set[Identities] = set()
        self._coming: dict[Identities, asyncio.Task[None]] = {}

    def has(self, job: Job) -> bool:
        """Whether the request could begin now."""
        return all(self._memory.holds(identity) for identity in job.identities)

    def want(self, jobs: Iterable[Job], *, must: bool) -> None:
        """These come next, in this order: bring their weights as far as there is room, and let go of all others.

        Args:
            must: nothing runs, and the first of them cannot wait for room.
        """
        wanted: dict[Identities, Job] = {}
        for job in jobs:
            if job.identities and len(wanted) < STACKS:
                wanted.setdefault(job.identities, job)
        for identities in self._held - wanted.keys():
            self._held.remove(identities)
            self._release(identities)
        for number, (identities, job) in enumerate(wanted.items()):
            if identities in self._held or identities in self._coming:
                continue
            if self.has(job):
                self._hold(job)
            elif (must and number == 0) or self._memory.fits(chosen.file for chosen in job.wish.stack):
                self._coming[identities] = asyncio.create_task(self._bring(job), name="weights")

    def take(self, job: Job) -> tuple[Use, ...]:
        """The weights of a request that it `has`, held until they are given back."""
        return tuple(self._use(chosen) for chosen in job.wish.stack)

    def give_back(self, uses: Sequence[Use]) -> None:
        self._release(use.adapter.identity for use in uses)

    async def close(self) -> None:
        tasks = list(self._coming.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _use(self, chosen: Chosen) -> Use:
        adapter = self._memory.now(chosen.file.identity)
        if adapter is None:
            raise LookupError(f"adapter {chosen.key} is not in host memory")
        self._memory.hold(adapter)
        return Use(chosen.key, adapter, chosen.scale)

    def _hold(self, job: Job) -> None:
        self.take(job)
        self._held.add(job.identities)

    def _release(self, identities: Iterable[str]) -> None:
        for identity in identities:
            self._memory.release(identity)

    async def _bring(self, job: Job) -> None:
        there: list[str] = []
        try:
            for chosen in job.wish.stack:
                adapter = await self._load(chosen)
                self._memory.hold(adapter)
                there.append(adapter.identity)
        except RequestError as error:
            self._on_failed(job.identities, error)
        except Exception:
            log.exception("reading an adapter failed", adapters=[chosen.key for chosen in job.wish.stack])
            message = "the adapter could not be read; the pod's log has the reason"
            self._on_failed(job.identities, RequestError(ErrorCode.INTERNAL, message))
        finally:
            del self._coming[job.identities]
            if len(there) == len(job.identities):
                self._held.add(job.identities)
            else:
                self._release(there)
            self._on_change()
