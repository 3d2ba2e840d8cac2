"""Commands that run inside a container that runs already, for probes and hooks."""

import asyncio
import contextlib
import shutil
from collections.abc import Mapping

from lorapool_local.node.containers.process import ContainerProcess, Mode


async def run_in_container(
    process: ContainerProcess | None, mode: Mode, env: Mapping[str, str], command: tuple[str, ...]
) -> tuple[int, str]:
    """(exit code, output); code 1 where the container does not run. A caller that is cancelled ends the command."""
    if process is None or process.pid is None or process.has_ended:
        return 1, "the container is not running"
    child = await asyncio.create_subprocess_exec(
        *_enter(mode, process.pid),
        *command,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env=env,
    )
    try:
        output, _ = await child.communicate()
    except asyncio.CancelledError:
        with contextlib.suppress(ProcessLookupError):
            child.kill()
        await child.wait()
        raise
    return child.returncode or 0, output.decode(errors="replace")


def _enter(mode: Mode, pid: int) -> list[str]:
    """Runs what follows inside the namespaces of a process."""
    if mode is Mode.FOLDERS:
        return []
    user = ["--user", "--preserve-credentials"] if mode is Mode.USER else []
    return [shutil.which("nsenter") or "nsenter", f"--target={pid}", *user, "--mount", "--pid", "--uts", "--ipc", "--"]
