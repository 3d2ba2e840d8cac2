"""The requests that wait: which of them go to the engine next, and their weights near it before their turn."""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Executor
from dataclasses import replace
from itertools import takewhile

import structlog

from lorapool_runtime.errors import RequestError
from lorapool_runtime.queue import answers
from lorapool_runtime.queue.device_prefetch import DevicePrefetcher
from lorapool_runtime.queue.engine_thread import Clock
from lorapool_runtime.queue.entry import QueueEntry, QueueLoad
from lorapool_runtime.queue.fair.shares import DueWork, FairShares, Rank, displaced_by
from lorapool_runtime.queue.host_prefetch import HostPrefetcher, Identities, LoadWeights, WeightCache
from lorapool_runtime.queue.policy import QueueRules, StackId, TimeSlice, batch_with, next_stacks, pick
from lorapool_runtime.queue.renderer import GetRenderer

log = structlog.get_logger(__name__)

CostOf = Callable[[QueueEntry], float | None]


class Scheduler:
    """Picks the requests of each forward. Lives on the event loop.

    Whoever calls `next` has an idle engine, and a busy one from then on.
    """

    def __init__(
        self,
        engine: GetRenderer,
        cache: WeightCache,
        load: LoadWeights,
        prefetch_thread: Executor,
        rules: QueueRules,
        clock: Clock,
        cost_s: CostOf,
    ) -> None:
        """`cost_s` says how many seconds of work a request is, None before any is measured."""
        self._known_cost_s = cost_s
        self._shares = FairShares()
        self._engine = engine
        self._rules = rules
        self._clock = clock
        self._host = HostPrefetcher(cache, load, self._notify, self._fail)
        self._device = DevicePrefetcher(engine, prefetch_thread, self._host, self._notify)
        self._waiting: list[QueueEntry] = []
        self._slice = TimeSlice((), clock())
        self._is_busy = False
        self._changed = asyncio.Event()

    @property
    def waiting(self) -> Sequence[QueueEntry]:
        """In order of arrival."""
        return self._waiting

    def add(self, entry: QueueEntry) -> None:
        self._waiting.append(entry)
        self._notify()

    def displaced_by(self, caller: str, own: int) -> QueueEntry | None:
        """What makes room in a full queue for one more request of the caller; None: it waits for itself."""
        return displaced_by(caller, self._ranked(), own)

    def due_before(self) -> DueWork:
        """The work that would be due before one more request, by whose it is."""
        # Asked for many times in a second: the cost of each is reckoned once.
        known = {entry: self._cost_s(entry) for entry in self._waiting}
        return self._shares.due_before(self._ranked(known.__getitem__), known.__getitem__)

    def check_deadline(self, entry: QueueEntry, load: QueueLoad, left_s: float) -> None:
        """Return where one that waits may be made in time, as far as is known: behind what runs and those that are due
        before it. Raises: RequestError."""
        own_s = self._known_cost_s(entry)
        if own_s is None:
            return
        running_s = max(0.0, sum(map(self._cost_s, load.running)) - load.running_s)
        before = takewhile(lambda one: one is not entry, (one for _, one in self._ranked()))
        wait_s = running_s + sum(map(self._cost_s, before))
        if wait_s + own_s > left_s:
            raise answers.cannot_make_it(wait_s, own_s, left_s)

    def _cost_s(self, entry: QueueEntry) -> float:
        """Before any is measured all images count alike."""
        known_s = self._known_cost_s(entry)
        return float(entry.images) if known_s is None else known_s

    def remove(self, entry: QueueEntry) -> None:
        """Nobody wants it any more; one that has had its turn is not here."""
        if entry in self._waiting:
            self._waiting.remove(entry)
            self._notify()

    def remove_answered(self) -> None:
        self._waiting = [entry for entry in self._waiting if not entry.answer.done()]

    async def next(self) -> Sequence[QueueEntry]:
        """Those that share the next forward, with their weights, which the caller must `release`."""
        self._is_busy = False
        while not (batch := self._take_batch()):
            self._changed.clear()
            await self._changed.wait()
        self._is_busy = True
        self._device.reset()
        self._prefetch()
        return batch

    def release(self, entries: Iterable[QueueEntry]) -> None:
        """The engine is done with them."""
        for entry in entries:
            self._host.release(entry.weights)
            entry.weights = ()

    def switched(self, stack_id: StackId, took_s: float) -> None:
        """The switch to that stack took so long: while it is active, it is worth as much longer a slice."""
        if stack_id == self._slice.stack_id:
            self._slice = replace(self._slice, switch_s=max(self._slice.switch_s, took_s))

    def waiting_for(self, stack_id: StackId) -> int:
        """How many requests wait for that stack."""
        return sum(entry.stack_id == stack_id for entry in self._waiting)

    async def close(self) -> None:
        await self._host.close()

    def _take_batch(self) -> list[QueueEntry]:
        """Nobody while nobody waits, or the weights of all are still on their way."""
        ranked = self._ranked()
        if not ranked:
            return []
        ranks = {entry: rank for rank, entry in ranked}
        waiting = list(ranks)
        first = pick(waiting, self._slice, self._clock(), self._rules, ranks.__getitem__)
        self._host.prefetch([first, *next_stacks(waiting, self._slice.stack_id)], must=True)
        able = [entry for entry in waiting if self._host.has(entry)]
        if not able:
            return []
        first = pick(able, self._slice, self._clock(), self._rules, ranks.__getitem__)
        batch = self._batch(first, able)
        self._shares.served(batch, ranked, self._clock(), self._cost_s)
        self._waiting = [entry for entry in self._waiting if entry not in batch]
        if first.stack_id != self._slice.stack_id:
            self._slice = TimeSlice(first.stack_id, self._clock())
        for entry in batch:
            entry.weights = self._host.hold(entry)
        return batch

    def _batch(self, first: QueueEntry, able: Sequence[QueueEntry]) -> list[QueueEntry]:
        """The requests that share a forward with that one. Where the engine fails to tell, it goes alone."""
        try:
            most = self._engine().batch(first.request.recipe)
            return batch_with(first, able, most, self._mixes) if most > 1 else [first]
        except Exception:
            log.exception("the engine cannot tell what shares a forward; one request goes alone")
            return [first]

    def _mixes(self, entry: QueueEntry) -> bool:
        weights = self._host.hold(entry)
        try:
            return all(self._engine().mixes(scaled.adapter) for scaled in weights)
        finally:
            self._host.release(weights)

    def _ranked(self, cost_s: Callable[[QueueEntry], float] | None = None) -> list[tuple[Rank, QueueEntry]]:
        """Those that wait, in the order in which they are due."""
        waiting = [entry for entry in self._waiting if not entry.answer.done()]
        return self._shares.ranked(waiting, self._clock(), cost_s or self._cost_s)

    def _notify(self) -> None:
        """Somebody came or went, or weights have come."""
        self._changed.set()
        if self._is_busy:
            self._prefetch()

    def _prefetch(self) -> None:
        """Load what will be wanted: files to host memory, and the first other stack to the device."""
        entries = next_stacks([entry for _, entry in self._ranked()], self._slice.stack_id)
        self._host.prefetch(entries, must=False)
        other = next((entry for entry in entries if entry.stack_id != self._slice.stack_id), None)
        if other is not None:
            self._device.prefetch(other)

    def _fail(self, identities: Identities, error: RequestError) -> None:
        for entry in self._waiting:
            if entry.identities == identities:
                answers.refuse(entry, error)
