"""`make bench-fleet`: many pods and many adapters of the small Hub, told of all of them at once."""

import argparse
import asyncio
import tempfile
import time
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Final

import aiohttp
import numpy as np
from safetensors.numpy import save_file

from lorapool_api.rules.rendezvous import Nodes
from lorapool_api.wire.catalog import Catalog, CatalogEntry
from lorapool_api.wire.sources.basic import HubFile
from lorapool_bench.fleet import plot
from lorapool_bench.fleet.hub import COUNTS, OWNER
from lorapool_bench.fleet.place import BenchPods, free_ports, start
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


async def measure(catalog: Catalog, root: Path, given: argparse.Namespace, copies: int) -> FleetRun:
    """One pool from nothing to all copies."""
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        (folder / "token").write_text(_TOKEN)
        (hub_port, *ports) = free_ports(given.pods + 1)
        hub = f"http://127.0.0.1:{hub_port}"
        await start(stack, "hub", str(root), str(hub_port))
        shares = [ports[first :: given.processes] for first in range(given.processes)]
        processes = [await start(stack, "pods", str(folder), str(folder), *map(str, s), hub=hub) for s in shares if s]
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
            cpu_s, began_s = pool.cpu_s, time.monotonic()
            telling = asyncio.ensure_future(pool.tell(catalog, holds))
            served_s = held_s = 0.0
            while not held_s:
                ready = await pool.ready()
                passed_s = time.monotonic() - began_s
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
