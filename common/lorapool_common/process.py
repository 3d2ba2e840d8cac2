"""A process from its start to its end: signals, supervised tasks, exit status."""

import asyncio
import functools
import logging
import os
import signal
import sys
from collections.abc import Callable, Coroutine
from typing import Any, Final, NoReturn

import structlog

from lorapool_common.supervision import Supervisor

log = structlog.get_logger(__name__)

SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)
Main = Callable[["Process"], Coroutine[Any, Any, None]]
LoopFactory = Callable[[], asyncio.AbstractEventLoop]


class CannotStart(Exception):
    """What a user must put right before the process can do its work. The message is all that is said."""


class Process(Supervisor):
    """The process that this code runs in: SIGTERM and SIGINT stop it, a second one ends it at once."""

    def __init__(self) -> None:
        super().__init__()
        self._was_signalled = False

    def take_signals(self) -> None:
        """Have the event loop bring signals here; again after a library has taken them for itself."""
        loop = asyncio.get_running_loop()
        for number in SIGNALS:
            loop.add_signal_handler(number, functools.partial(self._signalled, number))

    def _signalled(self, number: signal.Signals) -> None:
        if self._was_signalled:
            log.warning("a second signal: ending at once", signal=number.name)
            _exit(128 + number)
        self._was_signalled = True
        log.info("told to stop", signal=number.name)
        self.stop()


def run(command: str, main: Main, *, loop: LoopFactory | None = None) -> NoReturn:
    """Run `main` to its end, and end the process.

    The exit status is 0 when `main` returned and no task failed, else 1.

    Args:
        command: the name that a sentence on standard error begins with.
        main: returns soon after the process is `stopped`. What it raises ends the process: `CannotStart` with its
            message alone, anything else with a traceback.
        loop: makes the event loop; asyncio's own where there is none.
    """
    with asyncio.Runner(loop_factory=loop) as runner:
        # Not by returning: a thread that loads, downloads or asks the Hub cannot be interrupted, and the interpreter
        # would wait for it. Nothing of it can be half done: files are renamed into place when they are whole.
        _exit(runner.run(_to_the_end(command, main)))


async def _to_the_end(command: str, main: Main) -> int:
    process = Process()
    process.take_signals()
    try:
        await main(process)
    except CannotStart as error:
        print(f"{command}: {error}", file=sys.stderr)
        return 1
    except Exception:
        log.exception("the process has failed")
        return 1
    finally:
        await process.end()
    return 1 if process.failure else 0


def _exit(status: int) -> NoReturn:
    logging.shutdown()
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(status)
