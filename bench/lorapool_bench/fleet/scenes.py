"""What is measured: a pool from nothing to all copies, a pod that comes to it, and a pool with a large catalog."""

import asyncio
import os
import tempfile
import time
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import aiohttp

from lorapool_api.rules.rendezvous import Nodes
from lorapool_api.wire.catalog import Catalog, CatalogDelta
from lorapool_bench.fleet.follow import following
from lorapool_bench.fleet.hub import COUNTS
from lorapool_bench.fleet.place import BenchPods, free_ports, give_way, start
from lorapool_bench.fleet.result import STALL_S, FleetRun, JoinRun, LargeRun
from lorapool_bench.fleet.stalls import seen

_TOKEN: Final = "a-token-of-the-bench"  # noqa: S105 -- of pods that live for a minute
_DEADLINE_S: Final = 360.0
_CHANGES: Final = 20
# Longer than the pause between two writes of the catalog to the disk.
_QUIET_S: Final = 2.0


@dataclass(frozen=True)
class BenchPool:
    """Pods of one pool, with a Hub beside them."""

    pods: BenchPods
    http: aiohttp.ClientSession
    hub: str
    folder: Path
    stack: AsyncExitStack
    source: Process

    async def counts(self) -> dict[str, int]:
        """What the Hub was asked since the last call."""
        found: dict[str, int] = await (await self.http.get(f"{self.hub}{COUNTS}")).json()
        return found


@asynccontextmanager
async def pool(root: Path, pods: int, processes: int) -> AsyncIterator[BenchPool]:
    """So many pods in so many processes, warm and without a catalog."""
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        (folder / "token").write_text(_TOKEN)
        (hub_port, *ports) = free_ports(pods + 1)
        hub = f"http://127.0.0.1:{hub_port}"
        source = await start(stack, "hub", str(root), str(hub_port))
        shares = [ports[first::processes] for first in range(min(processes, pods))]
        started = [await start(stack, "pods", str(folder), str(folder), *map(str, s), hub=hub) for s in shares]
        timeout = aiohttp.ClientTimeout(total=120.0)
        headers = {"Authorization": f"Bearer {_TOKEN}"}
        http = await stack.enter_async_context(aiohttp.ClientSession(headers=headers, timeout=timeout))
        made = BenchPool(BenchPods(http, ports, started), http, hub, folder, stack, source)
        await made.pods.until_up()
        await made.counts()
        yield made


async def measure(pool: BenchPool, catalog: Catalog, copies: int) -> FleetRun:
    """One pool from nothing to all copies."""
    holds = _holds(pool.pods.peers, catalog, copies)
    async with asyncio.timeout(_DEADLINE_S), following(pool.pods, pool.pods.peers) as followed:
        cpu_s, began_s = pool.pods.cpu_s, time.monotonic()
        telling = asyncio.ensure_future(pool.pods.tell(catalog, holds))
        await followed.until(lambda: len(frozenset().union(*followed.ready.values())) == len(catalog.entries))
        served_s = time.monotonic() - began_s
        await followed.until(lambda: all(followed.ready[name] >= wanted for name, wanted in holds.items()))
        held_s = time.monotonic() - began_s
        await telling
    return FleetRun(
        pods=len(pool.pods.peers), adapters=len(catalog.entries), copies=copies, served_s=served_s, held_s=held_s,
        cpu_s=pool.pods.cpu_s - cpu_s, peak_bytes=pool.pods.peak_bytes, **await pool.counts(),
    )  # fmt: skip


async def join(pool: BenchPool, catalog: Catalog, copies: int) -> JoinRun:
    """One more pod, and all are told: of the pod, and the pod of all adapters."""
    (port,) = free_ports(1)
    process = await start(pool.stack, "pods", str(pool.folder), str(pool.folder), str(port), hub=pool.hub)
    name = pool.pods.add(port, process)
    await pool.pods.until_up()
    holds = _holds(pool.pods.peers, catalog, copies)
    async with asyncio.timeout(_DEADLINE_S), following(pool.pods, [name]) as followed:
        began_s = time.monotonic()
        telling = asyncio.ensure_future(pool.pods.tell(catalog, holds))
        while not await pool.pods.takes_requests(name):  # noqa: ASYNC110 -- another process announces nothing
            await asyncio.sleep(0.02)
        ready_s = time.monotonic() - began_s
        await followed.until(lambda: followed.ready[name] >= holds[name])
        share_s = time.monotonic() - began_s
        await telling
    return JoinRun(
        pods=len(pool.pods.peers) - 1, adapters=len(catalog.entries), ready_s=ready_s, share=len(holds[name]),
        share_s=share_s, downloads=(await pool.counts())["downloads"],
    )  # fmt: skip


async def large(pool: BenchPool, catalog: Catalog) -> LargeRun:
    """A large catalog, one copy of each; then changes of one adapter each.

    The Hub and the operator's part, which is this process, give way to the pods from now on.
    """
    give_way(pool.source.pid, os.getpid())
    pods, idle = pool.pods, pool.pods.resident_bytes
    began_s, cpu_s = time.monotonic(), pods.cpu_s
    holds = _holds(pods.peers, catalog, 1)
    async with asyncio.timeout(_DEADLINE_S), following(pods, pods.peers) as followed:
        await pods.tell(catalog, holds)
        await followed.until(lambda: all(len(held) >= len(holds[name]) for name, held in followed.ready.items()))
    held_s, cpu_s = time.monotonic() - began_s, pods.cpu_s - cpu_s
    await asyncio.sleep(_QUIET_S)
    change_bytes, change_cpu_s = await _change(pods, catalog)
    stalls = [stall for file in pool.folder.glob("stalls-*") for stall in seen(file, began_s)]
    return LargeRun(
        pods=len(pods.peers), adapters=len(catalog.entries), held_s=held_s,
        grown_bytes=max(peak - before for peak, before in zip(pods.peaks, idle, strict=True)),
        stall_s=max((stall.late_s for stall in stalls), default=0.0),
        core_s=max((stall.late_s, stall.core_s) for stall in stalls)[1] if stalls else 0.0,
        own_s=max((stall.own_s for stall in stalls), default=0.0),
        apart_s=max((stall.apart_s for stall in stalls), default=0.0),
        late=sum(stall.late_s > STALL_S for stall in stalls),
        late_apart=sum(stall.apart_s > STALL_S for stall in stalls), cpu_s=cpu_s,
        catalog_bytes=len(catalog.model_dump_json()), change_bytes=change_bytes, change_cpu_s=change_cpu_s,
    )  # fmt: skip


async def _change(pods: BenchPods, catalog: Catalog) -> tuple[int, float]:
    """(bytes of a message about one adapter and of its answer, CPU of a pod for it and for keeping it)."""
    cpu_s, base, size = pods.cpu_s, catalog.digest, 0
    for number in range(_CHANGES):
        digest, changed = f"change-{number}", catalog.entries[number].model_copy(update={"scale": 0.5})
        delta = CatalogDelta(base=base, digest=digest, upsert=(changed,))
        size, base = await pods.change(delta), digest
    await asyncio.sleep(_QUIET_S)
    return size, (pods.cpu_s - cpu_s) / _CHANGES / len(pods.peers)


def _holds(peers: Mapping[str, str], catalog: Catalog, copies: int) -> dict[str, frozenset[str]]:
    """As the operator places them."""
    nodes = Nodes(dict.fromkeys(peers, 1.0))
    held: dict[str, set[str]] = {name: set() for name in peers}
    for entry in catalog.entries:
        for name in nodes.ranked(entry.key, copies):
            held[name].add(entry.key)
    return {name: frozenset(keys) for name, keys in held.items()}
