"""`python -m tests.abuse`: ten thousand hostile requests, those of the OpenAPI page, and what became of them."""

import argparse
import asyncio
import tempfile
import time
from pathlib import Path

from tests.abuse.campaign import Outcome, attack, attack_with
from tests.abuse.client import send
from tests.abuse.described import describe_and_ask
from tests.abuse.target import attacked


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.abuse", description=__doc__)
    parser.add_argument("--requests", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--examples", type=int, default=50, help="of each operation of the OpenAPI page; 0: none")
    parser.add_argument("--only", type=int, help="the number of one attack, to look at it again")
    given = parser.parse_args()
    if given.only is not None:
        asyncio.run(_one(given.seed, given.only))
        return 0
    begin = time.monotonic()
    outcome, asked, wrong = asyncio.run(_all(given.seed, given.requests, given.examples))
    _tell(outcome, time.monotonic() - begin)
    print(f"{asked} requests made from the OpenAPI page{': ' if wrong else ''}{wrong}")
    return 1 if outcome.findings or wrong else 0


async def _all(seed: int, count: int, examples: int) -> tuple[Outcome, int, str]:
    async with attacked() as target:

        def report_progress(number: int) -> None:
            if number % max(1, count // 20) == 0:
                sizes = (f"{name} {size.resident_bytes >> 20} MiB" for name, size in target.sizes().items())
                print(f"{number} of {count}: {', '.join(sizes)}", flush=True)

        outcome = await attack_with(target, seed, count, report_progress)
        if not examples:
            return outcome, 0, ""
        with tempfile.TemporaryDirectory() as folder:
            return outcome, *await describe_and_ask(target, Path(folder), examples, seed)


async def _one(seed: int, number: int) -> None:
    made = attack(seed, number)
    print(made.kind, [piece[:300] for piece in made.pieces[:3]])
    async with attacked() as target:
        print(await send(target.host, target.port, made))


def _tell(outcome: Outcome, took_s: float) -> None:
    print(f"{outcome.kinds.total()} hostile requests in {took_s:.0f} s")
    for title, counted in (("kind", outcome.kinds), ("status", outcome.statuses)):
        print(
            "  ".join(f"{name}: {count}" for name, count in sorted(counted.items(), key=lambda row: -row[1])) or title
        )
    good = sorted(outcome.good_s)
    print(f"{len(good)} good requests: median {good[len(good) // 2] * 1000:.0f} ms, slowest {good[-1] * 1000:.0f} ms")
    for process, size in outcome.after.items():
        held = f"{size.resident_bytes / 2**20:.0f} MiB, {size.open_files} open files"
        print(
            f"{process}: {held}; grown by {outcome.grown_mib(process):+.1f} MiB, {outcome.more_files(process):+d} files"
        )
    for finding in outcome.findings[:20]:
        print("FINDING", finding)
    print(f"{len(outcome.findings)} findings")
