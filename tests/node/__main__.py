"""`python -m tests.node [--hold] [arguments of pytest]`: images, node, chart, then the tests."""

import asyncio
import contextlib
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NoReturn

from filelock import FileLock, Timeout
from rich.console import Console

from lorapool_local.binaries import Binaries, ensure_binaries, ensure_node_binaries
from lorapool_local.errors import BinariesUnavailable, LocalError
from lorapool_local.paths import StateDir, cache_dir
from lorapool_local.report import hold, is_supervised
from tests.node.harness import cgroups, node
from tests.node.harness.base import BaseMissing
from tests.node.harness.images import REPOSITORY, Builder
from tests.node.harness.install import install
from tests.node.harness.needs import missing

_HOLD: Final = "--hold"
_TESTS: Final = ("tests/e2e", "tests/node")


def main() -> None:
    console = Console()
    arguments = sys.argv[1:]
    cache = cache_dir() / "node"
    cache.mkdir(parents=True, exist_ok=True)
    if (reason := missing(cache)) is not None:
        _skip(console, reason)
    try:
        sys.exit(asyncio.run(_run(console, cache, arguments)))
    except* (BinariesUnavailable, BaseMissing) as lacks:
        _skip(console, str(lacks.exceptions[0]))
    except* LocalError as failures:
        for failure in failures.exceptions:
            console.print(f"test-node: {failure}", highlight=False, soft_wrap=True)
        sys.exit(1)
    except* (KeyboardInterrupt, asyncio.CancelledError):
        sys.exit(130)


def _skip(console: Console, reason: str) -> NoReturn:
    """Where a test cannot run it is skipped; with CI=true that is a failure."""
    console.print(f"test-node: skipped: {reason}", highlight=False, soft_wrap=True)
    sys.exit(1 if os.environ.get("CI") == "true" else 0)


async def _run(console: Console, cache: Path, arguments: list[str]) -> int:
    _end_on_sigterm()
    binaries, node_binaries = ensure_binaries(console), ensure_node_binaries(console)
    with _alone(cache, console), _state(cache / "runs") as state:
        images = Builder(cache, console).archives()
        began = time.monotonic()

        def say(what: str) -> None:
            console.print(f"  {time.monotonic() - began:4.0f} s  {what}", highlight=False)

        async with node.running(state, binaries, node_binaries, images, say) as real:
            say("chart")
            gateway = await asyncio.to_thread(install, binaries, real.kubeconfig, real.address)
            say(f"ready: {gateway}")
            environment = _environment(binaries, real.kubeconfig, gateway)
            status = await _tests([a for a in arguments if a != _HOLD], environment)
            say("tests ended")
            if _HOLD in arguments:
                console.print(f"\nexport KUBECONFIG={real.kubeconfig}\ngateway: {gateway}\nCtrl-C ends it")
                await asyncio.Event().wait()
        say("the node is gone")
    return status


async def _tests(arguments: list[str], environment: dict[str, str]) -> int:
    # Names of tests may be among the arguments; else it is all of them.
    chosen = arguments if any(a.startswith("tests/") for a in arguments) else [*_TESTS, *arguments]
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "pytest", *chosen, cwd=REPOSITORY, env=environment
    )
    try:
        return await process.wait()
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        await process.wait()


def _environment(binaries: Binaries, kubeconfig: Path, gateway: str) -> dict[str, str]:
    path = os.pathsep.join([str(binaries.kubectl.parent), str(binaries.helm.parent), os.environ.get("PATH", "")])
    return {
        **os.environ,
        "PATH": path,
        "LORAPOOL_E2E_KUBECONFIG": str(kubeconfig),
        "LORAPOOL_E2E_GATEWAY": gateway,
    }


def _end_on_sigterm() -> None:
    """As on Ctrl-C: everything that was started is ended in order."""
    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)


@contextlib.contextmanager
def _alone(cache: Path, console: Console) -> Iterator[None]:
    """One run at a time: another checkout's images have the same names."""
    lock = FileLock(cache / "lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        console.print("  waiting for another run of this machine", highlight=False)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


@contextlib.contextmanager
def _state(runs: Path) -> Iterator[StateDir]:
    """A folder of this run's own, held so that another run leaves it alone; after a failure its logs stay."""
    runs.mkdir(parents=True, exist_ok=True)
    _sweep(runs)
    state = StateDir(Path(tempfile.mkdtemp(dir=runs, prefix="")))
    state.create()
    try:
        with hold(state):
            yield state
    except Exception:
        shutil.rmtree(state.root / "root", ignore_errors=True)
        raise
    except BaseException:  # Ctrl-C
        _remove(state)
        raise
    _remove(state)


def _sweep(runs: Path) -> None:
    """Remove what a run left that was killed. Its processes, mounts and network are gone: the kernel saw to it."""
    for folder in runs.iterdir():
        if not is_supervised(StateDir(folder)):
            _remove(StateDir(folder))


def _remove(state: StateDir) -> None:
    cgroups.remove(f"{node.CGROUP_PREFIX}{state.root.name}")
    shutil.rmtree(state.root, ignore_errors=True)


if __name__ == "__main__":
    main()
