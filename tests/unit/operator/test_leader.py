"""Only one of several acts."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from lorapool_common.backoff import Backoff
from lorapool_common.kube.errors import ApiError
from lorapool_common.kube.resources import Resource
from lorapool_operator.cluster.lease import Election, Times

FAST = Times(lease_s=1, renew_within_s=0.6, retry_s=0.05)


class Leases:
    """The part of the API server that holds Leases: versions, conflicts, and outages to order."""

    def __init__(self) -> None:
        self.lease: dict[str, Any] | None = None
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
        while self._name in self._leases.frozen_for:  # noqa: ASYNC110 -- as good as any other way to hang
            await asyncio.sleep(0.01)
        await asyncio.sleep(0)
        if self._name in self._leases.down_for:
            raise ApiError(0, "Unreachable", "down")

    async def get(self, resource: Resource, namespace: str, name: str) -> dict[str, Any]:
        await self._reach()
        if self._leases.lease is None:
            raise ApiError(404, "NotFound", "no lease")
        return self._leases.lease

    async def create(self, resource: Resource, namespace: str, body: dict[str, Any]) -> dict[str, Any]:
        await self._reach()
        if self._leases.lease is not None:
            raise ApiError(409, "AlreadyExists", "there is one")
        return self._keep(body)

    async def replace(self, resource: Resource, namespace: str, name: str, body: dict[str, Any]) -> dict[str, Any]:
        await self._reach()
        if self._leases.lease is None or body["metadata"] != self._leases.lease["metadata"]:
            raise ApiError(409, "Conflict", "changed meanwhile")
        return self._keep(body)

    def _keep(self, body: dict[str, Any]) -> dict[str, Any]:
        self._leases.version += 1
        self._leases.lease = {**body, "metadata": {"name": "l", "resourceVersion": str(self._leases.version)}}
        return self._leases.lease


class Replica:
    """A candidate that notes when it acts."""

    def __init__(self, leases: Leases, name: str) -> None:
        self.acting = False
        self.terms = 0
        self._leases = leases
        self.election = Election(leases.as_seen_by(name), "n", "l", name, FAST)  # type: ignore[arg-type]
        self.name = name

    async def lead(self) -> None:
        self.acting, self.terms = True, self.terms + 1
        try:
            await asyncio.sleep(3600)
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


async def until(holds: Callable[[], bool], timeout_s: float = 5.0) -> float:
    began = time.monotonic()
    async with asyncio.timeout(timeout_s):
        while not holds():  # noqa: ASYNC110 -- polls what has no event, with a deadline
            await asyncio.sleep(0.005)
    return time.monotonic() - began


async def test_one_of_three_leads() -> None:
    leases = Leases()
    replicas = [Replica(leases, name) for name in "abc"]
    async with replicas[0].running(), replicas[1].running(), replicas[2].running():
        await until(lambda: any(r.acting for r in replicas))
        for _ in range(40):
            assert sum(r.acting for r in replicas) == 1
            await asyncio.sleep(0.01)


async def test_a_leader_that_stops_hands_over_at_once() -> None:
    leases = Leases()
    first, second = Replica(leases, "a"), Replica(leases, "b")
    async with second_after(first, second) as stop_first:
        await stop_first()
        assert not first.acting
        assert await until(lambda: second.acting) < 0.5  # far below the Lease's second


@asynccontextmanager
async def second_after(first: Replica, second: Replica) -> AsyncIterator[Callable[[], Awaitable[None]]]:
    """Both run, the first leads; the value ends the first."""
    running = first.running()
    await running.__aenter__()
    await until(lambda: first.acting)

    async def stop() -> None:
        await running.__aexit__(None, None, None)

    async with second.running():
        await asyncio.sleep(0.1)
        assert not second.acting
        yield stop


async def test_a_leader_that_cannot_reach_the_api_server_stops_before_another_starts() -> None:
    leases = Leases()
    first, second = Replica(leases, "a"), Replica(leases, "b")
    async with first.running():
        await until(lambda: first.acting)
        async with second.running():
            leases.down_for.add("a")
            await until(lambda: not first.acting)
            assert not second.acting
            await until(lambda: second.acting)


async def test_a_leader_whose_calls_hang_stops_before_another_starts() -> None:
    leases = Leases()
    first, second = Replica(leases, "a"), Replica(leases, "b")
    async with first.running():
        await until(lambda: first.acting)
        async with second.running():
            leases.frozen_for.add("a")
            await until(lambda: not first.acting)
            assert not second.acting
            await until(lambda: second.acting)
            leases.frozen_for.clear()
            await asyncio.sleep(0.2)
            assert not first.acting
            assert second.acting


async def test_a_short_outage_changes_nothing() -> None:
    leases = Leases()
    first = Replica(leases, "a")
    async with first.running():
        await until(lambda: first.acting)
        leases.down_for.add("a")
        await asyncio.sleep(0.2)
        leases.down_for.clear()
        await asyncio.sleep(0.7)
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
        assert await until(lambda: not first.acting) < 0.4


def test_delays_double_up_to_their_bound_and_start_anew() -> None:
    backoff = Backoff(1.0, 8.0)
    delays = [backoff.next() for _ in range(50)]
    assert all(0.8 * want <= got <= 1.2 * want for got, want in zip(delays, [1, 2, 4, 8, 8, 8], strict=False))
    assert max(delays) <= 8.0 * 1.2
    backoff.reset()
    assert backoff.next() <= 1.2
