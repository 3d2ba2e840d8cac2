"""The connection to one pod: a long poll, and the catalog, neither waiting for the other."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final, Protocol

import structlog

from lorapool_api.wire.catalog import Catalog
from lorapool_api.wire.credentials import CredentialsDelivery
from lorapool_api.wire.fleet import Assignment
from lorapool_api.wire.state import BaseReport, PodState
from lorapool_common.backoff import Backoff
from lorapool_operator.pods.control import ControlError, NotLoaded, TokenRefused, state_limit
from lorapool_operator.pods.credentials import CredentialsSender, ReadGrants
from lorapool_operator.pods.delta import Deltas
from lorapool_operator.pods.report import ReportLog
from lorapool_operator.pods.telling import TakesOrders, TellsPod
from lorapool_operator.seen.views import PodView

log = structlog.get_logger(__name__)

# Between two answers with news: a pod that loads a thousand adapters has news all the time, and one that means no good
# too. The first pause is short, so that what happens alone is heard at once.
_FIRST_PAUSE_S: Final = 0.02
_MOST_PAUSE_S: Final = 0.25


class ControlPorts(TakesOrders, Protocol):
    """The control ports of pods, by their addresses. Raises: ControlError."""

    async def state(self, ip: str, token: str, since: int, instance: str | None, max_bytes: int) -> PodState: ...

    async def base(self, ip: str, token: str) -> BaseReport: ...

    async def deliver(self, ip: str, token: str, delivery: CredentialsDelivery) -> PodState: ...


@dataclass
class PodLink:
    """A task that listens to the pod, one that keeps its catalog and assignment as they shall be, and one that sends it
    the credentials that it waits for."""

    pod: PodView
    token: str
    control: ControlPorts
    pushes: asyncio.Semaphore
    on_change: Callable[[], None]
    knows_base: Callable[[str], bool]
    on_base: Callable[[str, BaseReport], None]
    grants: ReadGrants
    deltas: Deltas = field(default_factory=Deltas)
    reported: ReportLog = field(default_factory=ReportLog)
    wanted: Catalog | None = None
    assignment: Assignment | None = None
    adapters: int = 0
    _may_listen: asyncio.Event = field(default_factory=asyncio.Event)
    _notified: asyncio.Event = field(default_factory=asyncio.Event)
    _refuses: bool = False
    _tasks: tuple[asyncio.Task[None], ...] = ()

    def __post_init__(self) -> None:
        self._sender = CredentialsSender(self.pod.key, self.grants, self._deliver)
        self._pod_calls = TellsPod(self._ip, self.token, self.control, self.reported, self.deltas)

    def start(self) -> None:
        work = (self._listen, self._push, self._sender.run)
        self._tasks = tuple(asyncio.create_task(self._for_ever(each)) for each in work)

    def stop(self) -> None:
        for task in self._tasks:
            task.cancel()

    def set_desired(
        self, catalog: Catalog, keys: frozenset[str], adapters: int, assignment: Assignment | None = None
    ) -> None:
        """Say which catalog the pod shall have, and its place among the others; what differs from that is sent.

        Args:
            keys: those of the catalog's entries.
            adapters: how many name the pool, whether they are in the catalog or not: as many the pod may speak of.
        """
        self.wanted, self.adapters, self.assignment = catalog, adapters, assignment
        self.reported.expect(keys)
        self._may_listen.set()
        self._notify()

    @property
    def _is_done(self) -> bool:
        return (self.wanted is None or self.reported.digest == self.wanted.digest) and self._is_assigned

    @property
    def _is_assigned(self) -> bool:
        """Whether the pod follows its assignment, or its process knows of no such thing."""
        return self._pod_calls.is_assigned(self.assignment)

    def _notify(self) -> None:
        if not self._is_done and self.reported.reachable:
            self._notified.set()

    async def _for_ever(self, work: Callable[[], Awaitable[None]]) -> None:
        """What nobody foresaw of one pod neither ends the talk with it nor reaches other pods."""
        backoff = Backoff(1.0, 60.0)
        while True:
            try:
                await work()
            except Exception as error:
                log.exception("the talk with a pod has failed; it begins anew", pod=self.pod.key)
                self._unreachable(ControlError(f"unexpected {type(error).__name__}"))
            await asyncio.sleep(backoff.next())

    async def _listen(self) -> None:
        """Long polls for ever; a restarted container, or one that forgot its catalog, stirs the other task."""
        backoff, pause = Backoff(0.1, 2.0), Backoff(_FIRST_PAUSE_S, _MOST_PAUSE_S)
        clock = asyncio.get_running_loop().time
        await self._may_listen.wait()  # what it may speak of is known from then on
        while True:
            asked = clock()
            try:
                state = await self.control.state(
                    self._ip, self.token, self.reported.since, self.reported.instance, state_limit(self.adapters)
                )
            except ControlError as error:
                self._unreachable(error)
                await asyncio.sleep(backoff.next())
                continue
            if clock() - asked > _MOST_PAUSE_S:
                pause.reset()
            backoff.reset()
            before = self.reported.answers
            changed = self.reported.apply(state)
            self.reported.since = state.version
            self._sender.set_awaited(self.reported.awaits)
            self.reported.was_asked = self.reported.reachable = self.reported.accepts_token = True
            changed |= before != self.reported.answers
            changed |= await self._learn_base()
            self._notify()
            if changed:
                self.on_change()
                await asyncio.sleep(pause.next())

    def _unreachable(self, error: ControlError) -> None:
        before = self.reported.answers
        self.reported.reachable, self.reported.was_asked = False, True
        self.reported.accepts_token = not isinstance(error, TokenRefused)
        if before != self.reported.answers:
            log.info("a pod does not answer", pod=self.pod.key, error=str(error))
            self.on_change()

    async def _learn_base(self) -> bool:
        """Ask for the base's modules, once per base; whether they are new."""
        base = self.reported.base
        if (
            not self.reported.report().is_warm
            or base is None
            or base.revision is None
            or self.knows_base(base.revision)
        ):
            return False
        try:
            report = await self.control.base(self._ip, self.token)
        except NotLoaded:
            return False
        except ControlError as error:
            log.warning("a pod does not say what its base is made of", pod=self.pod.key, error=str(error))
            return False
        self.on_base(base.revision, report)
        return True

    async def _push(self) -> None:
        backoff = Backoff(0.1, 5.0)
        while True:
            await self._notified.wait()
            self._notified.clear()
            if self._is_done or self.wanted is None or not self.reported.reachable:
                continue  # the listener stirs again when the pod answers
            try:
                async with self.pushes:
                    await self._pod_calls.tell(self.wanted, self.assignment, state_limit(self.adapters))
            except ControlError as error:
                if not self._refuses:
                    log.warning("a pod did not take its catalog", pod=self.pod.key, error=str(error))
                self._refuses = True
                self._notify()
                await asyncio.sleep(backoff.next())
                continue  # `_notify` asked for another round
            backoff.reset()
            self._refuses = False
            self._notify()
            self.on_change()

    async def _deliver(self, delivery: CredentialsDelivery) -> PodState:
        return await self.control.deliver(self._ip, self.token, delivery)

    @property
    def _ip(self) -> str:
        """`PodView.is_running` holds for every pod that has a link, so there is one."""
        return self.pod.ip or ""
