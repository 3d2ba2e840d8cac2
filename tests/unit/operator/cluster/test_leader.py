"""Only one of several acts."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from random import Random

import pytest
from tests.virtual_time import elapse, now_s, until

from lorapool_common.kube.errors import ApiError
from lorapool_common.kube.resources import Resource
from lorapool_operator.cluster.lease import DEFAULT_TIMES, Election, Lease

pytestmark = pytest.mark.virtual_time

TIMES = DEFAULT_TIMES


class Leases:
    """The part of the API server that holds Leases: versions, conflicts, and outages to order."""

    def __init__(self) -> None:
        self.lease: Lease | None = None
        self.version = 0
        self.down_for: set[str] = set()
        self.frozen_for: set[str] = set()

    def as_seen_by(self, name: str) -> "View":
        return View(self, name)


class View:
    """The API server as one replica reaches it."""

    def __init__(self, leases: Leases, name: str) -> None:
        self._leases = leases
        self._name = name

    async def _reach(self) -> None:
        await asyncio.sleep(0)
        if self._name in self._leases.frozen_for:
            await asyncio.Event().wait()
        if self._name in self._leases.down_for:
            raise ApiError(0, "Unreachable", "down")

    async def get(self, resource: Resource, namespace: str | None, name: str) -> Lease:
        await self._reach()
        if self._leases.lease is None:
            raise ApiError(404, "NotFound", "no lease")
        return self._leases.lease

    async def create(self, resource: Resource, namespace: str | None, body: Lease) -> Lease:
        await self._reach()
        if self._leases.lease is not None:
            raise ApiError(409, "AlreadyExists", "there is one")
        return self._keep(body)

    async def replace(self, resource: Resource, namespace: str | None, name: str, body: Lease) -> Lease:
        await self._reach()
        if self._leases.lease is None or body["metadata"] != self._leases.lease["metadata"]:
            raise ApiError(409, "Conflict", "changed meanwhile")
        return self._keep(body)

    def _keep(self, body: Lease) -> Lease:
        self._leases.version += 1
        self._leases.lease = {**body, "metadata": {"name": "l", "resourceVersion": str(self._leases.version)}}
        return self._leases.lease


class Replica:
    """A candidate that notes when it acts."""

    def __init__(self, leases: Leases, name: str, view: View | None = None, clock: Callable[[], float] = now_s) -> None:
        self.acting = False
        self.terms = 0
        self.election = Election(view or leases.as_seen_by(name), "n", "l", name, TIMES, clock)

    async def lead(self) -> None:
        self.acting, self.terms = True, self.terms + 1
        try:
            await asyncio.Event().wait()
        finally:
            self.acting = False

    @asynccontextmanager
    async def running(self) -> AsyncIterator["Replica"]:
        task = asyncio.create_task(self.election.run(self.lead))
        try:
            yield self
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


async def test_one_of_three_leads() -> None:
    leases = Leases()
    replicas = [Replica(leases, name) for name in "abc"]
    async with replicas[0].running(), replicas[1].running(), replicas[2].running():
        await until(lambda: any(r.acting for r in replicas))
        for _ in range(100):
            assert sum(r.acting for r in replicas) == 1
            await elapse(1.0)
    assert sum(r.terms for r in replicas) == 1


async def test_a_leader_that_stops_hands_over_within_two_seconds() -> None:
    leases = Leases()
    first, second = Replica(leases, "a"), Replica(leases, "b")
    async with second_after(first, second) as stop_first:
        await stop_first()
        assert not first.acting
        assert await until(lambda: second.acting) < 2.0  # far below the Lease's fifteen


@asynccontextmanager
async def second_after(first: Replica, second: Replica) -> AsyncIterator[Callable[[], Awaitable[None]]]:
    """Both run, the first leads; the value ends the first."""
    running = first.running()
    await running.__aenter__()
    await until(lambda: first.acting)

    async def stop() -> None:
        await running.__aexit__(None, None, None)

    async with second.running():
        await elapse(2 * TIMES.lease_s)
        assert not second.acting
        yield stop


async def test_a_leader_that_cannot_reach_the_api_server_stops_before_another_starts() -> None:
    leases = Leases()
    first, second = Replica(leases, "a"), Replica(leases, "b")
    async with first.running():
        await until(lambda: first.acting)
        async with second.running():
            await elapse(2 * TIMES.lease_s)
            leases.down_for.add("a")
            assert await until(lambda: not first.acting) <= TIMES.renew_within_s + TIMES.retry_s
            assert not second.acting
            await until(lambda: second.acting)


async def test_a_leader_whose_calls_hang_stops_before_another_starts() -> None:
    leases = Leases()
    first, second = Replica(leases, "a"), Replica(leases, "b")
    async with first.running():
        await until(lambda: first.acting)
        async with second.running():
            await elapse(2 * TIMES.lease_s)
            leases.frozen_for.add("a")
            assert await until(lambda: not first.acting) <= TIMES.renew_within_s + TIMES.retry_s
            assert not second.acting
            await until(lambda: second.acting)
            leases.frozen_for.clear()
            await elapse(10 * TIMES.lease_s)
            assert not first.acting
            assert second.acting


async def test_a_short_outage_changes_nothing() -> None:
    leases = Leases()
    first = Replica(leases, "a")
    async with first.running():
        await until(lambda: first.acting)
        leases.down_for.add("a")
        await elapse(TIMES.renew_within_s - 2 * TIMES.retry_s)
        leases.down_for.clear()
        await elapse(10 * TIMES.lease_s)
        assert first.acting
        assert first.terms == 1


async def test_somebody_who_took_the_lease_is_believed() -> None:
    leases = Leases()
    first = Replica(leases, "a")
    async with first.running():
        await until(lambda: first.acting)
        assert leases.lease is not None
        leases.version += 1
        leases.lease = {
            "metadata": {"name": "l", "resourceVersion": str(leases.version)},
            "spec": {**leases.lease["spec"], "holderIdentity": "b"},
        }
        assert await until(lambda: not first.acting) < 2 * TIMES.retry_s


class Unsteady(View):
    """Now and then a call fails, takes long, or is done and its answer late or lost; the same seed does the same."""

    def __init__(self, leases: Leases, name: str, random: Random) -> None:
        super().__init__(leases, name)
        self._random = random

    async def create(self, resource: Resource, namespace: str | None, body: Lease) -> Lease:
        return await self._answered(await super().create(resource, namespace, body))

    async def replace(self, resource: Resource, namespace: str | None, name: str, body: Lease) -> Lease:
        return await self._answered(await super().replace(resource, namespace, name, body))

    async def _reach(self) -> None:
        await asyncio.sleep(self._random.choice((0.0, 0.0, 0.0, 0.5, 5.0, 12.0)))
        if self._random.random() < 0.3:
            raise ApiError(0, "Unreachable", "down")

    async def _answered(self, lease: Lease) -> Lease:
        await asyncio.sleep(self._random.choice((0.0, 0.0, 0.0, 8.0, 14.0)))
        if self._random.random() < 0.2:
            raise ApiError(0, "Unreachable", "the answer is lost")
        return lease


@pytest.mark.parametrize("seed", range(1, 4))
async def test_two_never_lead_whatever_their_calls_come_to(seed: int) -> None:
    """Each has a clock of its own, and none is compared with another: also where one machine's was set."""
    leases, random = Leases(), Random(seed)  # noqa: S311 -- not for secrets
    replicas = [
        Replica(leases, name, Unsteady(leases, name, random), lambda ahead=ahead: now_s() + ahead)  # type: ignore[misc]
        for name, ahead in (("a", 0.0), ("b", 86_400.0), ("c", -900.0))
    ]
    async with replicas[0].running(), replicas[1].running(), replicas[2].running():
        for _ in range(800):
            await elapse(0.5)
            assert sum(r.acting for r in replicas) <= 1
    assert sum(r.terms for r in replicas) > 3
