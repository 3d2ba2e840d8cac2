"""Operators, gateways and runtime pods that start within a moment, each a process that is really killed.

They are forks of one process that has imported them.
"""

import asyncio
import importlib
import json
import os
import select
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from huggingface_hub import constants
from tests.waiting import until

import lorapool_gateway.main
import lorapool_operator.main
import lorapool_runtime.main
import lorapool_runtime.process  # what a fork finds imported takes it no time

ROOT = Path(__file__).parents[4]


class Fork:
    """One process of a part."""

    def __init__(self, pid: int) -> None:
        self._fd = os.pidfd_open(pid)

    @property
    def is_running(self) -> bool:
        return not select.select([self._fd], [], [], 0)[0]

    async def end(self, how: int = signal.SIGKILL) -> None:
        """Send the signal, if it runs still, and wait for its end."""
        if self.is_running:
            signal.pidfd_send_signal(self._fd, how)
        await until(lambda: not self.is_running, "the process has ended")


class Forks:
    """Starts processes; ends those that are left with itself."""

    def __init__(self, orders: IO[str], answers: IO[str]) -> None:
        self._orders = orders
        self._answers = answers
        self._one_order = threading.Lock()

    async def start(self, part: str, env: Mapping[str, str], log: Path) -> Fork:
        """`lorapool PART` with that environment; what it says is added to the log."""
        order = json.dumps({"part": part, "env": {"PATH": os.environ["PATH"], **env}, "log": str(log)})
        return Fork(await asyncio.to_thread(self._pid_of, order))

    def _pid_of(self, order: str) -> int:
        """One order after the other: two that wait for an answer could each take the other's."""
        with self._one_order:
            self._orders.write(f"{order}\n")
            self._orders.flush()
            return int(self._answers.readline())


@contextmanager
def running() -> Iterator[Forks]:
    """The process that is forked, for the length of the block."""
    command = [sys.executable, "-m", "tests.cluster.operator.faults.forks"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        yield Forks(process.stdin, process.stdout)
        process.stdin.close()


def _become(order: Mapping[str, Any]) -> None:
    """Be that part from now on; never returns."""
    log, quiet = os.open(order["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND), os.open(os.devnull, os.O_RDONLY)
    for target, source in ((0, quiet), (1, log), (2, log)):
        os.dup2(source, target)
    os.environ.clear()
    os.environ.update(order["env"])
    importlib.reload(constants)  # the Hub's address is read when this is imported
    _PARTS[order["part"]]()
    sys.exit("it has returned")


_PARTS: Mapping[str, Callable[[], None]] = {
    "operator": lorapool_operator.main.command,
    "gateway": lorapool_gateway.main.command,
    "runtime": lorapool_runtime.main.command,
}


def main() -> None:
    """Fork for each line of standard input."""
    started: set[int] = set()
    for line in sys.stdin:
        started = {pid for pid in started if not _has_ended(pid)}
        pid = os.fork()
        if not pid:
            _become(json.loads(line))
        started.add(pid)
        print(pid, flush=True)
    for pid in started:
        if not _has_ended(pid):
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)


def _has_ended(pid: int) -> bool:
    return os.waitpid(pid, os.WNOHANG) != (0, 0)


if __name__ == "__main__":
    main()
