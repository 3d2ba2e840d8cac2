"""Nothing of a node outlives the process that started it, whatever ended that."""

import subprocess
import sys
from pathlib import Path

from tests.e2e.cluster import wait_until
from tests.node.harness.images import REPOSITORY

HOLDER = """
import asyncio, pathlib, sys
from tests.node.harness import namespaces
from tests.node.harness.ranges import free_ranges

async def main():
    async with namespaces.held(pathlib.Path(sys.argv[1])) as space:
        families = free_ranges()
        namespaces.connect(space, families)
        inside = await asyncio.create_subprocess_exec(*space.command("sleep", "infinity"))
        print(space.pid, inside.pid, families[0].host, flush=True)
        await asyncio.Event().wait()

asyncio.run(main())
"""


def addresses() -> str:
    return subprocess.run(["ip", "-4", "address"], capture_output=True, text=True, check=True).stdout


def test_a_killed_run_leaves_no_process_and_no_network(tmp_path: Path) -> None:
    command = [sys.executable, "-c", HOLDER, str(tmp_path)]
    with subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        first, inside, host = holder.stdout.readline().split()
        assert f" {host}/" in addresses()
        holder.kill()
    for pid in (first, inside):
        wait_until(lambda pid=pid: not Path("/proc", pid).exists(), f"process {pid} is gone")  # type: ignore[misc]
    wait_until(lambda: f" {host}/" not in addresses(), "the cable is gone")
