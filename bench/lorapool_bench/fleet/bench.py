"""`make bench-fleet`: many pods and many adapters of the small Hub, told of all of them at once."""

import argparse
import asyncio
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Final

import numpy as np
from safetensors.numpy import save_file

from lorapool_api.fetch.hub_files import is_alone
from lorapool_api.wire.catalog import Catalog, CatalogEntry
from lorapool_api.wire.sources.basic import HubFile
from lorapool_bench.fleet import plot, scenes
from lorapool_bench.fleet.hub import OWNER
from lorapool_bench.fleet.result import FleetResult, FleetRun, JoinRun, LargeRun
from lorapool_bench.fleet.simulation import simulate
from lorapool_bench.measure import command
from lorapool_bench.measure.machine import machine, versions
from lorapool_bench.measure.progress import steps
from lorapool_bench.measure.result import RESULTS, today
from lorapool_hub import repos

_FILE: Final = "pytorch_lora_weights.safetensors"
_MODULE: Final = "unet.down_blocks.1.attentions.0.transformer_blocks.0.attn2.to_k"


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
        sha256, alone = repo.files[_FILE].sha256, is_alone(_FILE, repo.files.keys())  # as the operator would say
        entries.append(CatalogEntry(key=f"bench/{folder.name}", source=source, sha256=sha256, alone=alone))
    return Catalog.of(entries)


def run(root: Path, given: argparse.Namespace, step: Callable[[str], None]) -> FleetResult:
    """All of it, one after the other."""
    began_s = time.monotonic()
    step(f"{given.adapters} repositories")
    catalog = make_repositories(root / "some", given.adapters, given.size)
    runs, joined = [], None
    large: dict[int, LargeRun] = {}
    for copies in given.copies:
        step(f"{given.pods} pods, copies {copies}")
        run_, joined_ = asyncio.run(_fleet(root / "some", catalog, given, copies))
        runs.append(run_)
        joined = joined or joined_
    if given.large:
        many = make_repositories(root / "many", given.large, given.size)
        for pods in filter(None, (given.large_pods, given.few_pods)):
            step(f"{given.large} adapters on {pods} pods")
            try:
                # In a process of its own: it gives way to the pods, and those of the next scene would take that over.
                with ProcessPoolExecutor(1, get_context("spawn")) as process:
                    large[pods] = process.submit(_large, root / "many", many, pods).result()
            except TimeoutError:
                print(f"the large catalog was not held by {pods} pods in time; the others are reported")
    step("the placement alone")
    placed = simulate(given.placed, given.placed_pods, 2) if given.placed else None
    settings = {"processes of pods": given.processes, "bytes of a file": given.size}
    return FleetResult(
        measured=today(), took_s=time.monotonic() - began_s, machine=machine(), versions=versions(), settings=settings,
        runs=tuple(runs), joined=joined, large=large.get(given.large_pods), large_few=large.get(given.few_pods),
        placed=placed,
    )  # fmt: skip


async def _fleet(root: Path, catalog: Catalog, given: argparse.Namespace, copies: int) -> tuple[FleetRun, JoinRun]:
    async with scenes.pool(root, given.pods, given.processes) as pool:
        return await scenes.measure(pool, catalog, copies), await scenes.join(pool, catalog, copies)


def _large(root: Path, catalog: Catalog, pods: int) -> LargeRun:
    return asyncio.run(_on_pods(root, catalog, pods))


async def _on_pods(root: Path, catalog: Catalog, pods: int) -> LargeRun:
    async with scenes.pool(root, pods, pods) as pool:
        return await scenes.large(pool, catalog)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pods", type=int, default=20)
    parser.add_argument("--adapters", type=int, default=1000)
    parser.add_argument("--copies", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--processes", type=int, default=4, help="that the pods are divided among")
    parser.add_argument("--size", type=int, default=32 << 10, help="bytes of an adapter's file")
    parser.add_argument("--large", type=int, default=10_000, help="adapters of the large catalog; 0: without it")
    parser.add_argument("--large-pods", type=int, default=5)
    parser.add_argument("--few-pods", type=int, default=2, help="that hold the large catalog too; 0: without that")
    parser.add_argument("--placed", type=int, default=100_000, help="adapters of the placement alone; 0: without it")
    parser.add_argument("--placed-pods", type=int, default=200)
    parser.add_argument("--out", type=Path, default=RESULTS)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, steps(len(given.copies) + 4) as step:
        result = run(Path(folder), given, step)
    command.leave(result, given.out, "fleet", plot.draw)


if __name__ == "__main__":
    main()
