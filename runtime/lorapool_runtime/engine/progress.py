"""How far the base model is, said where it is looked for: a bar on a terminal, lines in a log, the pod's state."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

import structlog
from rich.console import Console
from rich.progress import Progress as Bar

from lorapool_runtime.engine.contract import Progress

log = structlog.get_logger(__name__)

_STEP_PERCENT: Final = 10


@contextmanager
def progress_reporter(what: str, on_percent: Callable[[int], None]) -> Iterator[Progress]:
    """A `Progress` that reports each tenth once, however often and on whatever thread it is called.

    Args:
        on_percent: is called on the loading thread as well.
    """
    if not sys.stderr.isatty():
        yield _tenths(what, on_percent, log_it=True)
        return
    with Bar(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(what, total=1.0)
        report = _tenths(what, on_percent, log_it=False)

        def both(share: float) -> None:
            bar.update(task, completed=share)
            report(share)

        yield both


def _tenths(what: str, on_percent: Callable[[int], None], *, log_it: bool) -> Progress:
    reported_percent = 0

    def report(share: float) -> None:
        nonlocal reported_percent
        percent = int(share * 100) // _STEP_PERCENT * _STEP_PERCENT
        if percent > reported_percent:
            reported_percent = percent
            on_percent(percent)
            if log_it:
                log.info(what, percent=percent)

    return report
