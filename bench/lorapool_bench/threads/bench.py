"""`make bench-threads`: a step of the small base on a CPU, once another thread has computed, by remedy."""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

import torch

from lorapool_bench.measure.machine import machine, versions
from lorapool_bench.measure.result import RESULTS, today, write
from lorapool_bench.measure.spread import spread
from lorapool_bench.threads.result import ThreadsResult, ThreadsWay

# (words, how the other thread computes, what the process starts with)
WAYS: Final[tuple[tuple[str, str, Mapping[str, str]], ...]] = (
    ("as torch does it", "plain", {}),
    ("lorapool: the other thread has no helpers", "one", {}),
    ("`OMP_WAIT_POLICY=passive`", "plain", {"OMP_WAIT_POLICY": "passive"}),
    ("`GOMP_SPINCOUNT=10000`", "plain", {"GOMP_SPINCOUNT": "10000"}),
)
# Each way twice, in another order: what the machine does meanwhile meets more than one.
_TIMES: Final = 2
Measure = Callable[[int, str, Mapping[str, str]], dict[str, list[float]]]


def in_a_process(rounds: int, way: str, environment: Mapping[str, str]) -> dict[str, list[float]]:
    """OpenMP reads its environment when it is loaded."""
    command = [sys.executable, "-m", "lorapool_bench.threads.child", str(rounds), way]
    done = subprocess.run(  # noqa: S603 -- no input
        command, env={**os.environ, **environment}, check=True, capture_output=True, text=True
    )
    made: dict[str, list[float]] = json.loads(done.stdout.splitlines()[-1])
    return made


def run(rounds: int, measure: Measure = in_a_process) -> ThreadsResult:
    """Measure. Nothing is written."""
    start, where = time.monotonic(), machine("cpu")
    found: dict[str, dict[str, list[float]]] = {words: {"alone": [], "beside": []} for words, _, _ in WAYS}
    for i in range(_TIMES):
        for words, way, environment in WAYS if i % 2 else reversed(WAYS):
            for part, samples in measure(rounds, way, environment).items():
                found[words][part] += samples
    return ThreadsResult(
        measured=today(),
        took_s=time.monotonic() - start,
        machine=where,
        versions=versions(),
        settings={"rounds": rounds * _TIMES, "threads": torch.get_num_threads()},
        ways=tuple(
            ThreadsWay(words=words, alone=spread(parts["alone"]), beside=spread(parts["beside"]))
            for words, parts in found.items()
        ),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=60, help="forwards of each way, twice")
    parser.add_argument("--out", type=Path, default=RESULTS)
    given = parser.parse_args()
    print(write(run(given.rounds), given.out, "threads"))


if __name__ == "__main__":
    main()
