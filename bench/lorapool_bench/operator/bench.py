"""`make bench-operator`: what thousands of adapters cost the operator, on a real API server, with light pods."""

import argparse
import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from lorapool_bench.measure import command
from lorapool_bench.measure.machine import machine, versions
from lorapool_bench.measure.progress import steps
from lorapool_bench.measure.result import RESULTS, today
from lorapool_bench.operator import plot, scenes
from lorapool_bench.operator.result import OperatorResult, OperatorScene
from lorapool_bench.operator.setup import OperatorBench, bench

_STEPS: Final = 10


async def run(given: argparse.Namespace, step: Callable[[str], None]) -> OperatorResult:
    """All of it, one after the other."""
    began_s, on = time.monotonic(), machine()
    found: list[OperatorScene] = []
    step(f"a control plane and {given.pods} pods")
    async with bench(given.pods) as at:
        found += await _some(at, given, step)
        if given.large:
            try:
                found += await _many(at, given.large, step)
            except TimeoutError:
                print("the large pool was not served in time; the other is reported")
    settings = {"pods": given.pods, "idle in s": given.idle}
    return OperatorResult(
        measured=today(), took_s=time.monotonic() - began_s, machine=on, versions=versions(), settings=settings,
        pods=given.pods, large=given.large, scenes=tuple(found),
    )  # fmt: skip


async def _some(at: OperatorBench, given: argparse.Namespace, step: Callable[[str], None]) -> list[OperatorScene]:
    found: list[OperatorScene] = []
    count = given.adapters
    async with scenes.operator(at) as running:
        step(f"{count} adapters are applied")
        found.append(await scenes.burst(at, running, count))
        step(f"one more among {count}")
        found.append(await scenes.one_more(at, running))
        step(f"{given.idle:g} s of nothing")
        found.append(await scenes.idle(at, running, given.idle))
    step("the operator is restarted")
    found.append(await scenes.restart(at))
    async with scenes.operator(at) as running:
        step(f"{count} adapters are deleted")
        found.append(await scenes.delete(at, running))
    step(f"a cold operator and {count} adapters")
    found.append(await scenes.cold(at, count))
    step(f"a cold operator and {count} deletions")
    found.append(await scenes.cold_delete(at))
    return found


async def _many(at: OperatorBench, count: int, step: Callable[[str], None]) -> list[OperatorScene]:
    step(f"a cold operator and {count} adapters")
    found = [await scenes.cold(at, count)]
    step(f"the operator is restarted, one more among {count}")
    found.append(await scenes.restart(at))
    async with scenes.operator(at) as running:
        found.append(await scenes.one_more(at, running))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pods", type=int, default=20)
    parser.add_argument("--adapters", type=int, default=1000)
    parser.add_argument("--large", type=int, default=10_000, help="adapters of the large pool; 0: without it")
    parser.add_argument("--idle", type=float, default=60.0, help="seconds in which nothing happens")
    parser.add_argument("--out", type=Path, default=RESULTS)
    given = parser.parse_args()
    with steps(_STEPS) as step:
        result = asyncio.run(run(given, step))
    command.leave(result, given.out, "operator", plot.draw)


if __name__ == "__main__":
    main()
