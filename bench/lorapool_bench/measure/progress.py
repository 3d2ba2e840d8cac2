"""How far a bench is: a bar on a terminal, a line for each step elsewhere."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

Step = Callable[[str], None]


@contextmanager
def steps(total: int) -> Iterator[Step]:
    """Call what it gives at the start of each step, with what the step does."""
    if sys.stderr.isatty():
        with _bar() as bar:
            yield _on(bar, total)
    else:
        yield _lines(total)


def _bar() -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    return Progress(*columns, TimeRemainingColumn(), console=Console(stderr=True))


def _on(bar: Progress, total: int) -> Step:
    task = bar.add_task("", total=total)
    begun = 0

    def step(what: str) -> None:
        nonlocal begun
        bar.update(task, completed=begun, description=what)
        begun += 1

    return step


def _lines(total: int) -> Step:
    start, begun = time.monotonic(), 0

    def step(what: str) -> None:
        nonlocal begun
        begun += 1
        print(f"[{time.monotonic() - start:6.0f} s] {begun}/{total} {what}", file=sys.stderr, flush=True)

    return step
