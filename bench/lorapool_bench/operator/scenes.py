"""What is measured, each from a pool whose adapters nobody touches."""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from statistics import median
from typing import Final

from lorapool_api import names
from lorapool_bench.operator import result
from lorapool_bench.operator.ready import until
from lorapool_bench.operator.result import OperatorScene, Writes
from lorapool_bench.operator.setup import NAMESPACE, POOL, OperatorBench, OperatorProcess
from lorapool_common.kube.resources import ADAPTERS, Manifest

_CREATED_AT_ONCE: Final = 16
# After it nothing is under way: a pass, its answers and what they change.
_QUIET_S: Final = 2.0
_ONE_MORE: Final = 8


def manifest(number: int, prefix: str = "adapter") -> Manifest:
    """An adapter on a volume of the pods: nobody outside of them is asked for it."""
    return {
        "apiVersion": names.API_VERSION,
        "kind": names.ADAPTER_KIND,
        "metadata": {"name": f"{prefix}-{number}", "namespace": NAMESPACE},
        "spec": {
            "poolRef": {"name": POOL},
            "source": {"path": f"/adapters/{prefix}-{number}.safetensors"},
            "modelIds": [f"bench/{prefix}-{number}"],
        },
    }


class SceneCosts:
    """What an operator has cost since a moment."""

    def __init__(self, at: OperatorBench, operator: OperatorProcess, *, from_start: bool = False) -> None:
        self._at = at
        self._operator = operator
        self.began_s = operator.started_s if from_start else time.monotonic()
        self._cpu_s = 0.0 if from_start else operator.cpu_s
        if not from_start:
            at.audit.writes()

    def scene(
        self, what: str, adapters: int, took_s: float, *, of: int = 1, slowest_s: float | None = None, changed: int = 0
    ) -> OperatorScene:
        """All of it; the CPU divided among so many."""
        return OperatorScene(
            what=what, adapters=adapters, took_s=took_s, lasted_s=time.monotonic() - self.began_s,
            cpu_s=(self._operator.cpu_s - self._cpu_s) / of, most_bytes=self._operator.most_bytes,
            writes=self._writes(), slowest_s=slowest_s, changed=changed,
        )  # fmt: skip

    def _writes(self) -> Writes:
        return self._at.audit.writes()


@asynccontextmanager
async def operator(at: OperatorBench) -> AsyncIterator[OperatorProcess]:
    """One that is up, and has done all that there was to do."""
    started = await at.start()
    try:
        await started.until_up()
        await asyncio.sleep(_QUIET_S)
        yield started
    finally:
        await started.end()


async def burst(at: OperatorBench, running: OperatorProcess, count: int) -> OperatorScene:
    """So many applied at once."""
    costs = SceneCosts(at, running)
    await at.apply([manifest(number) for number in range(count)])
    applied_s = time.monotonic()
    ready_s = await at.ready.until_ready(count)
    await asyncio.sleep(_QUIET_S)
    return costs.scene(result.BURST, count, max(ready_s - applied_s, 0.0))


async def one_more(at: OperatorBench, running: OperatorProcess) -> OperatorScene:
    """One among those that are served, and again; they are gone at the end."""
    there = len(at.ready.present)
    costs, took_s = SceneCosts(at, running), []
    for number in range(_ONE_MORE):
        await at.kube.create(ADAPTERS, NAMESPACE, manifest(number, "more"))
        began_s = time.monotonic()
        took_s.append(await at.ready.until_served(f"more-{number}") - began_s)
        await asyncio.sleep(_QUIET_S)
    scene = costs.scene(result.ONE, there, median(took_s), of=_ONE_MORE, slowest_s=max(took_s))
    for number in range(_ONE_MORE):
        await at.kube.delete(ADAPTERS, NAMESPACE, f"more-{number}")
    await at.ready.until_present(there)
    await asyncio.sleep(_QUIET_S)
    return scene


async def idle(at: OperatorBench, running: OperatorProcess, for_s: float) -> OperatorScene:
    """Nothing happens."""
    before, costs = await at.versions(), SceneCosts(at, running)
    await asyncio.sleep(for_s)
    return costs.scene(result.IDLE, len(at.ready.present), 0.0, changed=_changed(before, await at.versions()))


async def restart(at: OperatorBench) -> OperatorScene:
    """Another operator over adapters that are all served: when it knows of each that it is."""
    count, before = len(at.ready.present), await at.versions()
    at.audit.writes()
    started = await at.start()

    async def knows_all() -> bool:
        return await started.adapters("Served") == count

    try:
        costs = SceneCosts(at, started, from_start=True)
        await until(knows_all, 0.02)
        took_s = time.monotonic() - started.started_s
        await asyncio.sleep(_QUIET_S)
        return costs.scene(result.RESTART, count, took_s, changed=_changed(before, await at.versions()))
    finally:
        await started.end()


def _changed(before: Mapping[str, str], now: Mapping[str, str]) -> int:
    return sum(before.get(uid) != version for uid, version in now.items())


async def delete(at: OperatorBench, running: OperatorProcess) -> OperatorScene:
    """All at once, by one request."""
    count, costs = len(at.ready.present), SceneCosts(at, running)
    deleting = asyncio.ensure_future(delete_all(at))
    gone_s = await at.ready.until_present(0)
    await deleting
    await asyncio.sleep(_QUIET_S)
    return costs.scene(result.DELETE, count, gone_s - costs.began_s)


async def cold(at: OperatorBench, count: int) -> OperatorScene:
    """An operator that finds so many that nobody has seen. There are none before."""
    await _create(at, count)
    await at.ready.until_present(count)
    at.audit.writes()
    started = await at.start()
    try:
        costs = SceneCosts(at, started, from_start=True)
        ready_s = await at.ready.until_ready(count)
        await asyncio.sleep(_QUIET_S)
        return costs.scene(result.COLD, count, ready_s - started.started_s)
    finally:
        await started.end()


async def cold_delete(at: OperatorBench) -> OperatorScene:
    """All were deleted while no operator ran."""
    count = len(at.ready.present)
    await delete_all(at)
    at.audit.writes()
    started = await at.start()
    try:
        costs = SceneCosts(at, started, from_start=True)
        gone_s = await at.ready.until_present(0)
        await asyncio.sleep(_QUIET_S)
        return costs.scene(result.COLD_DELETE, count, gone_s - started.started_s)
    finally:
        await started.end()


async def delete_all(at: OperatorBench) -> None:
    """Ask for it; they go when the operator lets them."""
    await at.kube.request("DELETE", ADAPTERS.path(NAMESPACE))


async def _create(at: OperatorBench, count: int) -> None:
    numbers = iter(range(count))

    async def some() -> None:
        for number in numbers:
            await at.kube.create(ADAPTERS, NAMESPACE, manifest(number))

    await asyncio.gather(*(some() for _ in range(_CREATED_AT_ONCE)))
