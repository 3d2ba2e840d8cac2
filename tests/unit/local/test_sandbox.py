"""Containers as processes: what they see, how they end, and that nothing of them stays."""

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
from tests.waiting import until

from lorapool_local.node.containers.logs import LogQuery, LogWriter, read_log
from lorapool_local.node.containers.process import ContainerProcess, ContainerSpec, Exit, Mode, detect_mode
from lorapool_local.sandbox.rootfs import Mount

# What this machine was found to allow.
_allowed: set[Mode] = set()
MODES = [Mode.ROOT, Mode.USER, Mode.FOLDERS]


class Containers:
    """Starts containers and reads what they wrote."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._count = 0
        self.started: list[ContainerProcess] = []

    async def start(self, mode: Mode, *argv: str, **changes: object) -> tuple[ContainerProcess, Path]:
        self._count += 1
        root, log = self._folder / f"root-{self._count}", self._folder / f"{self._count}.log"
        root.mkdir()
        spec = ContainerSpec(
            isolation=mode,
            argv=argv,
            env={"PATH": "/usr/bin:/bin"},
            cwd="/",
            hostname="pod-name",
            root=str(root),
            mounts=[],
            opaque=["/tmp"],  # noqa: S108 -- as the node does
            kept=[],
            writable_tmp=True,
            drop_capabilities=False,
            no_new_privileges=True,
        )
        process = await ContainerProcess.start(replace(spec, **changes), LogWriter(log))  # type: ignore[arg-type]
        self.started.append(process)
        return process, log

    async def output(self, mode: Mode, *argv: str, **changes: object) -> str:
        process, log = await self.start(mode, *argv, **changes)
        assert await process.wait() == Exit(0)
        return await text_of(log)


async def text_of(log: Path) -> str:
    return b"".join([text async for text in read_log(log, LogQuery(), lambda: True)]).decode()


@pytest.fixture
async def containers(tmp_path: Path) -> AsyncIterator[Containers]:
    made = Containers(tmp_path)
    yield made
    for process in made.started:
        process.kill()
        await process.wait()


@pytest.fixture
async def mode(request: pytest.FixtureRequest, tmp_path: Path) -> Mode:
    """Skips where this machine does not allow it."""
    wanted: Mode = request.param
    if not _allowed:
        best, _ = await detect_mode(tmp_path / "probe")
        _allowed.update({Mode.ROOT: MODES, Mode.USER: MODES[1:], Mode.FOLDERS: MODES[2:]}[best])
    if wanted not in _allowed:
        pytest.skip(f"this machine allows only: {', '.join(sorted(_allowed))}")
    return wanted


in_all_modes = pytest.mark.parametrize("mode", MODES, indirect=True)
in_namespaces = pytest.mark.parametrize("mode", [Mode.ROOT, Mode.USER], indirect=True)


@in_all_modes
async def test_the_exit_code_is_the_containers(mode: Mode, containers: Containers) -> None:
    process, _ = await containers.start(mode, "sh", "-c", "exit 5")

    assert await process.wait() == Exit(5)


@in_all_modes
async def test_a_signal_is_told_apart_from_an_exit(mode: Mode, containers: Containers) -> None:
    process, log = await containers.start(mode, "sh", "-c", "echo up; exec sleep 60")
    await until(lambda: b"up" in log.read_bytes())

    process.kill()

    assert await process.wait() == Exit(code=0, signal=9)
    assert (await process.wait()).shown_code == 137


@in_all_modes
async def test_a_command_that_is_not_there_is_said(mode: Mode, containers: Containers) -> None:
    process, _ = await containers.start(mode, "no-such-command")

    outcome = await process.wait()

    assert outcome.code == 128
    assert "No such file or directory" in outcome.error


@in_all_modes
async def test_sigterm_reaches_the_main_process(mode: Mode, containers: Containers) -> None:
    script = "trap 'echo ended; exit 0' TERM; echo up; while :; do sleep 0.05; done"
    process, log = await containers.start(mode, "sh", "-c", script)
    await until(lambda: b"up" in log.read_bytes())

    process.terminate()

    assert await process.wait() == Exit(0)
    assert await text_of(log) == "up\nended\n"


@in_all_modes
async def test_nothing_survives_the_main_process(mode: Mode, containers: Containers) -> None:
    # `setsid -f` makes a daemon of it: another session, another parent.
    seconds = str(time.time_ns())
    process, _ = await containers.start(mode, "sh", "-c", f"setsid -f sleep {seconds}")
    await process.wait()

    assert [p for p in psutil.process_iter(["cmdline"]) if seconds in (p.info["cmdline"] or [])] == []


@in_namespaces
async def test_a_container_is_alone_and_has_its_own_name(mode: Mode, containers: Containers) -> None:
    assert await containers.output(mode, "sh", "-c", "echo $$; hostname") == "1\npod-name\n"


@in_namespaces
async def test_volumes_are_at_their_paths_and_nothing_is_made_on_the_machine(
    mode: Mode, containers: Containers, tmp_path: Path
) -> None:
    volume = tmp_path / "volume"
    volume.mkdir()
    (volume / "file").write_text("content\n")
    target = f"/etc/lorapool-{tmp_path.name}/deep"
    mounts = [Mount(str(volume), target, read_only=True), Mount(str(volume), "/new-top-folder", read_only=False)]
    script = f"cat {target}/file; touch {target}/x 2>/dev/null || echo refused; touch /new-top-folder/y"

    assert await containers.output(mode, "sh", "-c", script, mounts=mounts) == "content\nrefused\n"
    assert (volume / "y").exists()
    made = {Path(target).parent.name, "new-top-folder"}
    assert made.isdisjoint(os.listdir("/etc") + os.listdir("/"))  # noqa: PTH208 -- names alone


@in_namespaces
async def test_tmp_is_private_or_read_only(mode: Mode, containers: Containers) -> None:
    script = "ls /tmp; touch /tmp/x 2>/dev/null && echo written || echo refused"

    assert await containers.output(mode, "sh", "-c", script, writable_tmp=True) == "written\n"
    assert await containers.output(mode, "sh", "-c", script, writable_tmp=False) == "refused\n"


@in_namespaces
async def test_capabilities_can_be_dropped(mode: Mode, containers: Containers) -> None:
    script = ["sh", "-c", "grep CapEff /proc/self/status"]

    assert (await containers.output(mode, *script, drop_capabilities=True)).split()[1].strip("0") == ""


SUPERVISOR = """
import asyncio, json, os, sys
from pathlib import Path
from lorapool_local.node.containers.logs import LogWriter
from lorapool_local.node.containers.process import ContainerProcess, ContainerSpec
async def main():
    spec = json.loads(sys.argv[1])
    process = await ContainerProcess.start(ContainerSpec(**spec), LogWriter(Path(sys.argv[2])))
    await process.wait()
asyncio.run(main())
"""


@in_all_modes
async def test_a_container_dies_with_its_supervisor(mode: Mode, tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    spec = {
        "isolation": mode,
        "argv": ["sh", "-c", "setsid -f sleep 600; exec sleep 600"],
        "env": {"PATH": "/usr/bin:/bin"},
        "cwd": "/",
        "hostname": "pod",
        "root": str(root),
        "mounts": [],
        "opaque": [],
        "kept": [],
        "writable_tmp": True,
        "drop_capabilities": False,
        "no_new_privileges": False,
    }
    log = tmp_path / "log"
    command = [sys.executable, "-c", SUPERVISOR, json.dumps(spec), str(log)]
    with subprocess.Popen(command) as supervisor:  # noqa: ASYNC220 -- a process, started and killed
        try:
            await until(lambda: len(sleepers(supervisor.pid)) == 2)
            family = psutil.Process(supervisor.pid).children(recursive=True)
        finally:
            supervisor.kill()

        _, alive = psutil.wait_procs(family, timeout=10)
        assert alive == []


def sleepers(pid: int) -> list[psutil.Process]:
    """The descendants that have become `sleep`."""
    found = []
    for process in psutil.Process(pid).children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            if process.name() == "sleep":
                found.append(process)
    return found
