"""Case after case on all cores, with a bar, and what became of them."""

import argparse
import multiprocessing
import os
import resource
import tempfile
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from tests.fuzz.judge import Judge, Tally

_CHUNK = 250
# Lines with percentages where there is no terminal for a bar.
_LINES = 20


@dataclass(frozen=True)
class Cases:
    """Some cases of a seed."""

    seed: int
    numbers: range


@dataclass
class Report:
    """What became of some cases; `finding` is what broke, with the number of its case."""

    tally: Tally
    done: int
    grown_mib: float
    left: set[str] = field(default_factory=set)
    finding: str = ""


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--cases", type=int, default=100_000)
    parser.add_argument("--first", type=int, default=0, help="the number of the first case, to go on after a finding")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--only", type=int, help="the number of one case, to look at it again")
    arguments = parser.parse_args()
    if arguments.only is not None:
        with _folder() as folder:
            print(Judge(folder, arguments.seed).run(arguments.only))
        return 0
    return _all(range(arguments.first, arguments.cases), arguments.seed, arguments.jobs)


def _all(cases: range, seed: int, jobs: int) -> int:
    chunks = [Cases(seed, cases[first : first + _CHUNK]) for first in range(0, len(cases), _CHUNK)]
    total, start, console = Report(Tally(), 0, 0.0), time.monotonic(), Console()
    columns = (TextColumn("hostile files"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with multiprocessing.get_context("spawn").Pool(jobs) as pool, Progress(*columns, console=console) as progress:
        bar = progress.add_task("", total=len(cases))
        said = 0
        for report in pool.imap_unordered(_run, chunks):
            _add(total, report)
            progress.advance(bar, report.done)
            if not console.is_terminal and total.done * _LINES // len(cases) > said:
                said = total.done * _LINES // len(cases)
                console.print(f"{total.done / len(cases):4.0%} after {time.monotonic() - start:.0f} s")
            if report.finding:
                break
    if total.finding:
        console.print(total.finding, markup=False)
        return 1
    tally = total.tally
    console.print(
        f"{total.done} files in {time.monotonic() - start:.0f} s; slowest {tally.slowest_s * 1000:.0f} ms of CPU"
    )
    for outcome, count in sorted(tally.counts.items(), key=lambda item: -item[1]):
        console.print(f"  {outcome:20} {count}")
    console.print(f"most memory of a check beyond its file's bytes: {tally.most_memory / 1024:.0f} KiB")
    console.print(f"a process grew by {total.grown_mib:.0f} MiB at most; left behind: {', '.join(sorted(total.left))}")
    return 0


def _run(cases: Cases) -> Report:
    torch.set_num_threads(1)
    with _folder() as folder:
        judge, done = Judge(folder, cases.seed), 0
        before = _most_mib()
        try:
            for number in cases.numbers:
                judge.run(number)
                done += 1
        except Exception:  # noqa: BLE001 -- whatever it is, it is the finding
            again = f"python -m tests.fuzz --seed {cases.seed} --only {cases.numbers[done]}"
            return Report(judge.tally, done, 0.0, finding=f"{traceback.format_exc()}\n{again}")
        left = {path.name for path in folder.iterdir()}
        return Report(judge.tally, done, _most_mib() - before, left)


def _add(total: Report, report: Report) -> None:
    total.tally.add_all(report.tally)
    total.done += report.done
    total.grown_mib = max(total.grown_mib, report.grown_mib)
    total.left |= report.left
    total.finding = total.finding or report.finding


@contextmanager
def _folder() -> Iterator[Path]:
    """In memory where that can be: it is not the disk that is tried."""
    memory = Path("/dev/shm")  # noqa: S108
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as folder:
        yield Path(folder)


def _most_mib() -> float:
    """The most memory that the process ever had."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
