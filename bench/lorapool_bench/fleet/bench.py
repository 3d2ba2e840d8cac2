"""`make bench-fleet`: many pods and many adapters of the small Hub, told of all of them at once."""

import argparse
import asyncio
import os
import socket
import sys
import tempfile
import time
from asyncio.subprocess import Process
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Final

import aiohttp
import numpy as np
from safetensors.numpy import save_file

from lorapool_api.rules.rendezvous import Nodes
from lorapool_api.wire.catalog import Catalog, CatalogEntry, HubFile
from lorapool_api.wire.fleet import Assignment
from lorapool_api.wire.state import AdapterPhase, PodState
from lorapool_bench.fleet import plot
from lorapool_bench.fleet.hub import COUNTS, OWNER
from lorapool_bench.fleet.result import FleetResult, FleetRun
from lorapool_bench.measure import command
from lorapool_bench.measure.machine import machine, versions
from lorapool_bench.measure.progress import steps
from lorapool_bench.measure.result import RESULTS, today
from lorapool_hub import repos

_FILE: Final = "pytorch_lora_weights.safetensors"
_MODULE: Final = "unet.down_blocks.1.attentions.0.transformer_blocks.0.attn2.to_k"
_TOKEN: Final = "a-token-of-the-bench"  # noqa: S105 -- of pods that live for a minute
_DEADLINE_S: Final = 600.0
_TICKS: Final = os.sysconf("SC_CLK_TCK")


def make_repositories(root: Path, adapters: int, size_bytes: int) -> Catalog:
    """So many adapters of random weights as repositories, and the catalog of all."""
    random, entries = np.random.default_rng(0), []
    width = size_bytes // (4 * 4 * 2)
    for number in range(adapters):
        folder = root / f"adapter-{number}"
        folder.mkdir(parents=True)
        (folder / repos.CARD).write_text("---\ntags: [lora]\n---\n")
        tensors = {
            f"{_MODULE}.lora_A.weight": random.standard_normal((4, width), dtype=np.float32),
            f"{_MODULE}.lora_B.weight": random.standard_normal((width, 4), dtype=np.float32),
        }
        save_file(tensors, folder / _FILE)
        repo = repos.read(f"{OWNER}/{folder.name}", folder)
        source = HubFile(repo=repo.id, revision=repo.commit, file=_FILE)
        entries.append(CatalogEntry(key=f"bench/{folder.name}", source=source, sha256=repo.files[_FILE].sha256))
    return Catalog.of(entries)


class BenchPods:
    """Pods in some processes, and a Hub."""

    def __init__(self, http: aiohttp.ClientSession, ports: Sequence[int], processes: Sequence[Process]) -> None:
        self._http = http
        self._processes = processes
        self.peers = {f"bench/pod-{port}": f"127.0.0.1:{port}" for port in ports}

    async def until_up(self) -> None:
        """Return when every control port answers and every base is warm."""
        for name in self.peers:
            while not await self._is_warm(name):  # noqa: ASYNC110 -- another process announces nothing
                await asyncio.sleep(0.1)

    async def _is_warm(self, name: str) -> bool:
        try:
            return (await self.state(name)).base.phase == "warm"
        except aiohttp.ClientError:
            return False

    async def tell(self, catalog: Catalog, holds: Mapping[str, frozenset[str]]) -> None:
        """Every pod's assignment and the catalog, at once."""
        body = catalog.model_dump_json()

        async def one(name: str) -> None:
            assignment = Assignment.of(name, self.peers, holds[name])
            await self._put(name, "assignment", assignment.model_dump_json())
            await self._put(name, "catalog", body)

        await asyncio.gather(*map(one, self.peers))

    async def state(self, name: str) -> PodState:
        async with self._http.get(f"http://{self.peers[name]}/v1/state") as reply:
            return PodState.model_validate_json(await reply.read())

    async def ready(self) -> Mapping[str, frozenset[str]]:
        """Keys of the adapters that each pod has."""
        states = await asyncio.gather(*map(self.state, self.peers))
        return {
            name: frozenset(key for key, adapter in state.adapters.items() if adapter.phase is AdapterPhase.READY)
            for name, state in zip(self.peers, states, strict=True)
        }

    async def _put(self, name: str, what: str, body: str) -> None:
        async with self._http.put(f"http://{self.peers[name]}/v1/{what}", data=body) as reply:
            reply.raise_for_status()

    @property
    def cpu_s(self) -> float:
        """What the pods have used so far, in user and kernel mode."""
        stats = (Path(f"/proc/{p.pid}/stat").read_text().rpartition(")")[2].split() for p in self._processes)
        return sum((int(fields[11]) + int(fields[12])) / _TICKS for fields in stats)

    @property
    def peak_bytes(self) -> int:
        """The most memory of one of their processes."""
        lines = (line for p in self._processes for line in Path(f"/proc/{p.pid}/status").read_text().splitlines())
        return max(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:"))


def free_ports(count: int) -> list[int]:
    """Ports of 127.0.0.1 with a free one behind each."""
    found: list[int] = []
    with tempfile.TemporaryDirectory():
        while len(found) < count:
            with socket.socket() as first, socket.socket() as second:
                first.bind(("127.0.0.1", 0))
                port = first.getsockname()[1]
                try:
                    second.bind(("127.0.0.1", port + 1))
                except OSError:
                    continue
                if not {port - 1, port, port + 1} & set(found):
                    found.append(port)
    return found


async def measure(catalog: Catalog, root: Path, given: argparse.Namespace, copies: int) -> FleetRun:
    """One pool from nothing to all copies."""
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        (folder / "token").write_text(_TOKEN)
        (hub_port, *ports) = free_ports(given.pods + 1)
        hub = f"http://127.0.0.1:{hub_port}"
        await _start(stack, "hub", str(root), str(hub_port))
        shares = [ports[first :: given.processes] for first in range(given.processes)]
        processes = [await _start(stack, "pods", str(folder), str(folder), *map(str, s), hub=hub) for s in shares if s]
        headers = {"Authorization": f"Bearer {_TOKEN}"}
        timeout = aiohttp.ClientTimeout(total=120.0)
        http = await stack.enter_async_context(aiohttp.ClientSession(headers=headers, timeout=timeout))
        pool = BenchPods(http, ports, processes)
        async with asyncio.timeout(_DEADLINE_S):
            await pool.until_up()
            nodes = Nodes(dict.fromkeys(pool.peers, 1.0))
            held = {entry.key: nodes.ranked(entry.key, copies) for entry in catalog.entries}
            holds = {name: frozenset(key for key, names in held.items() if name in names) for name in pool.peers}
            await (await http.get(f"{hub}{COUNTS}")).read()
            cpu_s, start = pool.cpu_s, time.monotonic()
            telling = asyncio.ensure_future(pool.tell(catalog, holds))
            served_s = held_s = 0.0
            while not held_s:
                ready = await pool.ready()
                passed_s = time.monotonic() - start
                if not served_s and len(frozenset().union(*ready.values())) == len(catalog.entries):
                    served_s = passed_s
                if all(ready[name] >= wanted for name, wanted in holds.items()):
                    held_s = passed_s
                await asyncio.sleep(0.2)
            await telling
        counts = await (await http.get(f"{hub}{COUNTS}")).json()
        return FleetRun(
            pods=given.pods, adapters=len(catalog.entries), copies=copies, served_s=served_s or held_s, held_s=held_s,
            cpu_s=pool.cpu_s - cpu_s, peak_bytes=pool.peak_bytes, **counts,
        )  # fmt: skip


async def _start(stack: AsyncExitStack, what: str, *options: str, hub: str = "") -> Process:
    environment = {"PATH": os.environ["PATH"], "HF_ENDPOINT": hub, "HF_HUB_DISABLE_TELEMETRY": "1"}
    environment |= {"HF_HUB_DISABLE_PROGRESS_BARS": "1", "HF_HOME": tempfile.gettempdir()}
    program = (sys.executable, "-m", f"lorapool_bench.fleet.{what}", *options)
    process = await asyncio.create_subprocess_exec(*program, env={k: v for k, v in environment.items() if v})
    stack.push_async_callback(_end, process)
    return process


async def _end(process: Process) -> None:
    if process.returncode is None:
        process.kill()
    await process.wait()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pods", type=int, default=20)
    parser.add_argument("--adapters", type=int, default=1000)
    parser.add_argument("--copies", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--processes", type=int, default=4, help="that the pods are divided among")
    parser.add_argument("--size", type=int, default=32 << 10, help="bytes of an adapter's file")
    parser.add_argument("--out", type=Path, default=RESULTS)
    given = parser.parse_args()
    start, runs = time.monotonic(), []
    with tempfile.TemporaryDirectory() as folder, steps(len(given.copies) + 1) as step:
        step(f"{given.adapters} repositories")
        catalog = make_repositories(Path(folder), given.adapters, given.size)
        for copies in given.copies:
            step(f"{given.pods} pods, copies {copies}")
            runs.append(asyncio.run(measure(catalog, Path(folder), given, copies)))
            print(runs[-1])
    settings = {"processes of pods": given.processes, "bytes of a file": given.size}
    result = FleetResult(
        measured=today(), took_s=time.monotonic() - start, machine=machine(), versions=versions(), settings=settings,
        runs=tuple(runs),
    )  # fmt: skip
    command.leave(result, given.out, "fleet", plot.draw)


if __name__ == "__main__":
    main()
