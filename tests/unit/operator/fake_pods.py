"""The control ports of pods in memory: they take catalogs, and answer a long poll as soon as they have news."""

import asyncio
from collections.abc import Mapping

from tests.unit.operator.make import NO_MODULES, WARM, state

from lorapool_api.wire.catalog import Catalog, CatalogDelta, CatalogEntry
from lorapool_api.wire.credentials import CredentialsDelivery
from lorapool_api.wire.fleet import Assignment
from lorapool_api.wire.state import AdapterPhase, BaseReport, BaseState, PodState
from lorapool_operator.pods.control import ControlError, DigestMismatch


class FakePod:
    """What one pod holds and says. Tests read and set it.

    Attributes:
        phases: of adapters that are not ready.
        error: what every call is answered with; None: calls work.
        push_error: what catalogs are answered with.
        takes_s: how long it takes to take a catalog.
        answers_s: how long it takes to answer a poll.
        assign_error: what assignments are answered with.
        forgets_assignments: whether it says yes to them, and follows none.
        names_all: whether it says that an answer names all adapters that it has.
        takes_both: whether it takes the change of the catalog that comes with an assignment.
        calls: names of the calls that came.
        awaits: keys of adapters whose credentials it waits for, until they are delivered.
        delivered: what it was given.
        tokens: what calls have shown.
    """

    def __init__(self, base: BaseState = WARM, modules: BaseReport = NO_MODULES) -> None:
        self.instance, self.version, self.digest = "i", 1, ""
        self.base, self.modules = base, modules
        self.entries: dict[str, CatalogEntry] = {}
        self.phases: dict[str, AdapterPhase] = {}
        self.error: ControlError | None = None
        self.push_error: ControlError | None = None
        self.takes_s = self.answers_s = 0.0
        self.assign_error: ControlError | None = None
        self.assignment: Assignment | None = None
        self.forgets_assignments = False
        self.takes_both = True
        self.names_all = True
        self.calls: list[str] = []
        self.tokens: set[str] = set()
        self.awaits: frozenset[str] = frozenset()
        self.deliver_error: ControlError | None = None
        self.delivered: list[CredentialsDelivery] = []
        self._news = asyncio.Event()

    @property
    def pushes(self) -> list[str]:
        """How it was told its catalogs."""
        return [call for call in self.calls if call in ("put", "patch")]

    def tell(self) -> None:
        """Answer whoever waits."""
        self.version += 1
        self._news.set()
        self._news = asyncio.Event()

    def restart(self, instance: str) -> None:
        """Another process: it knows nothing."""
        self.instance, self.version, self.digest, self.entries = instance, 0, "", {}
        self.assignment = None
        self.tell()

    async def state(self, since: int, instance: str | None) -> PodState:
        self._take("state")
        await asyncio.sleep(self.answers_s)
        while instance == self.instance and since >= self.version:
            await self._news.wait()
            self._check()
        return self._answer()

    def report(self) -> BaseReport:
        self._take("base")
        return self.modules

    def assign(self, assignment: Assignment, delta: CatalogDelta | None = None) -> PodState:
        """The change of the catalog too, if it is of one that takes both in one call."""
        self._take("assign", self.assign_error)
        if not self.forgets_assignments:
            self.assignment = assignment
        if delta is not None and self.takes_both and delta.base == self.digest:
            return self._hold(self._changed(delta), delta.digest)
        self.tell()
        return self._answer()

    def deliver(self, delivery: CredentialsDelivery) -> PodState:
        self._take("deliver", self.deliver_error)
        self.delivered.append(delivery)
        self.awaits -= delivery.grants.keys()
        self.tell()
        return self._answer()

    def put(self, catalog: Catalog) -> PodState:
        self._take("put", self.push_error)
        return self._hold({e.key: e for e in catalog.entries}, catalog.digest)

    def patch(self, delta: CatalogDelta) -> PodState:
        self._take("patch", self.push_error)
        if delta.base != self.digest:
            raise DigestMismatch("another catalog")
        return self._hold(self._changed(delta), delta.digest)

    def _changed(self, delta: CatalogDelta) -> dict[str, CatalogEntry]:
        rest = {key: e for key, e in self.entries.items() if key not in delta.remove}
        return rest | {e.key: e for e in delta.upsert}

    def _hold(self, entries: dict[str, CatalogEntry], digest: str) -> PodState:
        self.entries, self.digest = entries, digest
        self.tell()
        return self._answer()

    def _answer(self) -> PodState:
        held = self.entries.keys() if self.assignment is None else self.entries.keys() & self.assignment.holds
        said = {k: state(self.phases.get(k, AdapterPhase.READY), self.entries[k].generation) for k in held}
        return PodState(
            instance=self.instance,
            version=self.version,
            digest=self.digest or None,
            assignment=self.assignment.digest if self.assignment else None,
            base=self.base,
            awaits_credentials=self.awaits,
            complete=self.names_all,
            adapters=said,
        )

    def _take(self, call: str, error: ControlError | None = None) -> None:
        self.calls.append(call)
        self._check()
        if error is not None:
            raise error

    def _check(self) -> None:
        if self.error is not None:
            raise self.error


class FakePods:
    """Pods by their addresses. Nobody answers at any other."""

    def __init__(self, pods: Mapping[str, FakePod] | None = None) -> None:
        self.pods = dict(pods or {})

    def _at(self, ip: str, token: str) -> FakePod:
        if ip not in self.pods:
            raise ControlError("nobody answers")
        self.pods[ip].tokens.add(token)
        return self.pods[ip]

    async def state(self, ip: str, token: str, since: int, instance: str | None, max_bytes: int) -> PodState:
        return await self._at(ip, token).state(since, instance)

    async def base(self, ip: str, token: str) -> BaseReport:
        return self._at(ip, token).report()

    async def assign(self, ip: str, token: str, assignment: Assignment, delta: CatalogDelta | None = None) -> PodState:
        return self._at(ip, token).assign(assignment, delta)

    async def deliver(self, ip: str, token: str, delivery: CredentialsDelivery) -> PodState:
        return self._at(ip, token).deliver(delivery)

    async def put(self, ip: str, token: str, catalog: Catalog, max_bytes: int) -> PodState:
        await asyncio.sleep(self._at(ip, token).takes_s)
        return self._at(ip, token).put(catalog)

    async def patch(self, ip: str, token: str, delta: CatalogDelta, max_bytes: int) -> PodState:
        await asyncio.sleep(self._at(ip, token).takes_s)
        return self._at(ip, token).patch(delta)
