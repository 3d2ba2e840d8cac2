"""The pods: a long poll to each, and the catalog to each, none waiting for another."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

import structlog

from lorapool_api.wire.catalog import Catalog
from lorapool_api.wire.state import BaseReport, PodState
from lorapool_common.backoff import Backoff
from lorapool_operator.decide.plan import delta
from lorapool_operator.pods.control import (
    Control,
    ControlError,
    DigestMismatch,
    NotLoaded,
    TokenRefused,
    state_limit,
)
from lorapool_operator.pods.report import ReportLog
from lorapool_operator.seen.observed import PodReport, PodView

log = structlog.get_logger(__name__)

PUSHES_AT_ONCE: Final = 32
# How long a pass waits for pods that are being told of a new catalog, so that their answers are in the same status.
SETTLE_S: Final = 1.0
# Between two answers with news: a pod that loads a thousand adapters has news all the time, and one that means no good
# too. The first pause is short, so that what happens alone is heard at once.
_FIRST_PAUSE_S: Final = 0.02
_MOST_PAUSE_S: Final = 0.25
_BEGINNING: Final = datetime.min.replace(tzinfo=UTC)


@dataclass
class PodLink:
    """The connection to one pod: a task that listens, a task that keeps the pod's catalog as it shall be."""

    pod: PodView
    token: str
    control: Control
    pushes: asyncio.Semaphore
    on_change: Callable[[], None]
    knows_base: Callable[[str], bool]
    on_base: Callable[[str, BaseReport], None]
    reported: ReportLog = field(default_factory=ReportLog)
    wanted: Catalog | None = None
    adapters: int = 0
    _may_listen: asyncio.Event = field(default_factory=asyncio.Event)
    _notified: asyncio.Event = field(default_factory=asyncio.Event)
    _synced: asyncio.Event = field(default_factory=asyncio.Event)
    _was_tried: bool = False
    _refuses: bool = False
    _tasks: tuple[asyncio.Task[None], ...] = ()

    def start(self) -> None:
        self._tasks = tuple(asyncio.create_task(self._for_ever(work)) for work in (self._listen, self._push))

    def stop(self) -> None:
        for task in self._tasks:
            task.cancel()

    def set_desired(self, catalog: Catalog, keys: frozenset[str], adapters: int) -> None:
        """Say which catalog the pod shall have; it is sent as soon as that differs from the one it has.

        Args:
            keys: those of the catalog's entries.
            adapters: how many name the pool, whether they are in the catalog or not: as many the pod may speak of.
        """
        self.wanted, self.adapters = catalog, adapters
        self.reported.expect(keys)
        self._may_listen.set()
        self._notify()

    async def synced(self) -> None:
        """Return when the pod has its catalog, or is known not to answer."""
        await self._synced.wait()

    @property
    def _is_done(self) -> bool:
        return self.wanted is None or self.reported.digest == self.wanted.digest

    def _notify(self) -> None:
        silent = self._was_tried and not self.reported.reachable
        if self._is_done or self._refuses or silent:
            self._synced.set()
        else:
            self._synced.clear()
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
            changed = self.reported.apply(state) or not self.reported.reachable
            self.reported.since, self.reported.reachable, self._was_tried = state.version, True, True
            self.reported.accepts_token = True
            changed |= await self._learn_base()
            self._notify()
            if changed:
                self.on_change()
                await asyncio.sleep(pause.next())

    def _unreachable(self, error: ControlError) -> None:
        before = (self.reported.reachable, self.reported.accepts_token)
        self.reported.reachable, self._was_tried = False, True
        self.reported.accepts_token = not isinstance(error, TokenRefused)
        self._notify()
        if before != (self.reported.reachable, self.reported.accepts_token):
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
                    await self._send(self.wanted)
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

    async def _send(self, catalog: Catalog) -> None:
        """A delta where the pod's catalog is known, else all of it."""
        limit = state_limit(self.adapters)
        state = await self._send_delta(catalog, limit) or await self.control.put(self._ip, self.token, catalog, limit)
        self.reported.apply(state)
        if state.digest != catalog.digest:
            raise ControlError(f"the pod took the catalog, but says that it holds {state.digest}")
        self.reported.held = catalog

    async def _send_delta(self, catalog: Catalog, limit: int) -> PodState | None:
        """None: the pod needs all of it."""
        held = self.reported.held
        if held is None or held.digest != self.reported.digest:
            return None
        change = delta(held, catalog)
        try:
            state = await self.control.patch(self._ip, self.token, change, limit)
        except DigestMismatch:
            return None
        self.reported.drop(change.remove)
        return state

    @property
    def _ip(self) -> str:
        """`PodView.is_running` holds for every pod that has a link, so there is one."""
        return self.pod.ip or ""


class PodLinks:
    """The links to the pods of one pool."""

    def __init__(self, control: Control, pushes: asyncio.Semaphore, on_change: Callable[[], None]) -> None:
        self._control = control
        self._pushes = pushes
        self._on_change = on_change
        self._links: dict[str, PodLink] = {}
        self.bases: dict[str, BaseReport] = {}

    def follow(self, pods: Iterable[PodView], token: str | None) -> None:
        """Open links to new pods, close those to pods that went, were replaced or may not be talked to."""
        wanted = {p.key: p for p in pods if p.is_running} if token else {}
        for key, link in list(self._links.items()):
            pod = wanted.get(key)
            if pod is None or (pod.uid, pod.ip, token) != (link.pod.uid, link.pod.ip, link.token):
                self._links.pop(key).stop()
        for key, pod in wanted.items():
            if key not in self._links and token:
                self._links[key] = self._open(pod, token)

    def _open(self, pod: PodView, token: str) -> PodLink:
        link = PodLink(pod, token, self._control, self._pushes, self._on_change, self._knows_base, self._keep_base)
        link.start()
        return link

    def _knows_base(self, revision: str) -> bool:
        return revision in self.bases

    def _keep_base(self, revision: str, report: BaseReport) -> None:
        """Remember the modules of a base, and of the others that some pod holds now."""
        held = {link.reported.base.revision for link in self._links.values() if link.reported.base}
        self.bases = {r: b for r, b in self.bases.items() if r in held} | {revision: report}

    async def distribute(self, catalog: Catalog, adapters: int) -> None:
        """Let every pod have the catalog, in a pool that so many adapters name.

        Waits a moment for those that answer; never for one that does not.
        """
        keys = frozenset(e.key for e in catalog.entries)
        for link in self._links.values():
            link.set_desired(catalog, keys, adapters)
        waiting = [asyncio.ensure_future(link.synced()) for link in self._links.values()]
        if waiting:
            _, late = await asyncio.wait(waiting, timeout=SETTLE_S)
            for task in late:
                task.cancel()

    def reports(self) -> Mapping[str, PodReport]:
        """Pod's key -> what it said."""
        return {key: link.reported.report() for key, link in self._links.items()}

    def base(self) -> BaseReport | None:
        """The modules of the base, as the newest warm pod holds it: during a roll-out that is the one to come."""
        warm = [(link.pod, report.base) for link in self._links.values() if (report := link.reported.report()).is_warm]
        newest_first = sorted(warm, key=lambda pair: (pair[0].created or _BEGINNING, pair[0].name), reverse=True)
        reports = (self.bases.get(base.revision) for _, base in newest_first if base and base.revision)
        return next((report for report in reports if report is not None), None)

    def close(self) -> None:
        for link in self._links.values():
            link.stop()
        self._links.clear()
