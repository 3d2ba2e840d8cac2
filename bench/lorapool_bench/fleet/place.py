"""Where the bench of a fleet takes place: a Hub and pods as processes, on ports that nobody else has."""

import asyncio
import os
import socket
import sys
import tempfile
from asyncio.subprocess import Process
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from http import HTTPStatus
from pathlib import Path
from typing import Final

import aiohttp

from lorapool_api.wire.catalog import Catalog, CatalogDelta
from lorapool_api.wire.fleet import Assignment
from lorapool_api.wire.state import PodState
from lorapool_runtime.sources.ahead.process import NICE

_TICKS: Final = os.sysconf("SC_CLK_TCK")


class BenchPods:
    """Pods that run in some processes, and their control ports.

    Attributes:
        peers: `host:port` of the control ports, by the pods' names.
    """

    def __init__(self, http: aiohttp.ClientSession, ports: Sequence[int], processes: Sequence[Process]) -> None:
        self._http = http
        self._processes = list(processes)
        self.peers = {f"bench/pod-{port}": f"127.0.0.1:{port}" for port in ports}

    def add(self, port: int, process: Process) -> str:
        """One more pod, and its name."""
        self._processes.append(process)
        name = f"bench/pod-{port}"
        self.peers[name] = f"127.0.0.1:{port}"
        return name

    async def until_up(self) -> None:
        """Return when every control port answers and every base is warm."""
        for name in self.peers:
            while not await self._is_warm(name):  # noqa: ASYNC110 -- another process announces nothing
                await asyncio.sleep(0.1)

    async def _is_warm(self, name: str) -> bool:
        try:
            return (await self.state(name)).base.phase == "warm"
        except aiohttp.ClientError:
            return False

    async def tell(self, catalog: Catalog, holds: Mapping[str, frozenset[str]]) -> None:
        """Every pod's assignment and the catalog, at once."""
        body = catalog.model_dump_json()

        async def one(name: str) -> None:
            assignment = Assignment.of(name, self.peers, holds[name])
            await self._put(name, "assignment", assignment.model_dump_json())
            await self._put(name, "catalog", body)

        await asyncio.gather(*map(one, self.peers))

    async def state(self, name: str, query: str = "") -> PodState:
        """What the pod says, complete or as the query asks."""
        async with self._http.get(f"http://{self.peers[name]}/v1/state{query}") as reply:
            reply.raise_for_status()
            return PodState.model_validate_json(await reply.read())

    async def takes_requests(self, name: str) -> bool:
        """Whether the gateway would send it some."""
        host, _, port = self.peers[name].rpartition(":")
        async with self._http.get(f"http://{host}:{int(port) + 1}/readyz") as reply:
            return reply.status == HTTPStatus.OK

    async def change(self, delta: CatalogDelta) -> int:
        """Tell all pods, one after the other; bytes of one such message and its answer."""
        body, size = delta.model_dump_json(), 0
        for host in self.peers.values():
            async with self._http.patch(f"http://{host}/v1/catalog", data=body) as reply:
                reply.raise_for_status()
                size = len(body) + len(await reply.read())
        return size

    async def _put(self, name: str, what: str, body: str) -> None:
        async with self._http.put(f"http://{self.peers[name]}/v1/{what}", data=body) as reply:
            reply.raise_for_status()

    @property
    def cpu_s(self) -> float:
        """What the pods have used so far, in user and kernel mode, with the processes that they have started."""
        return sum(_cpu_s(pid) for process in self._processes for pid in _family(process.pid))

    @property
    def peak_bytes(self) -> int:
        """The most memory of one of their processes."""
        return max(self.peaks)

    @property
    def peaks(self) -> list[int]:
        """The most memory of each process so far, with that of those that it has started and that run now."""
        return [sum(_memory(pid, "VmHWM:") for pid in _family(p.pid)) for p in self._processes]

    @property
    def resident_bytes(self) -> list[int]:
        """The memory of each process now, with that of those that it has started."""
        return [sum(_memory(pid, "VmRSS:") for pid in _family(p.pid)) for p in self._processes]


def _family(pid: int) -> list[int]:
    """The process and all that it, and they, have started and that run."""
    found = [pid]
    for one in found:
        tasks = Path(f"/proc/{one}/task").glob("*/children")
        found.extend(int(child) for task in tasks for child in task.read_text().split())
    return found


def _cpu_s(pid: int) -> float:
    """Its own, and that of children that have ended."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[11:15])) / _TICKS


def _memory(pid: int, line: str) -> int:
    rows = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next((int(row.split()[1]) * 1024 for row in rows if row.startswith(line)), 0)


def give_way(*pids: int) -> None:
    """Let what is on other machines in a cluster take the pods' cores no sooner than their own work ahead does."""
    for pid in pids:
        for thread in Path(f"/proc/{pid}/task").iterdir():
            os.setpriority(os.PRIO_PROCESS, int(thread.name), NICE)


def free_ports(count: int) -> list[int]:
    """Ports of 127.0.0.1 with a free one behind each."""
    found: list[int] = []
    while len(found) < count:
        with socket.socket() as first, socket.socket() as second:
            first.bind(("127.0.0.1", 0))
            port = first.getsockname()[1]
            try:
                second.bind(("127.0.0.1", port + 1))
            except OSError:
                continue
            if not {port - 1, port, port + 1} & set(found):
                found.append(port)
    return found


async def start(stack: AsyncExitStack, what: str, *options: str, hub: str = "") -> Process:
    """A program of this folder as a process, which the stack ends; its Hub is at that address."""
    environment = {"PATH": os.environ["PATH"], "HF_ENDPOINT": hub, "HF_HUB_DISABLE_TELEMETRY": "1"}
    environment |= {"HF_HUB_DISABLE_PROGRESS_BARS": "1", "HF_HOME": tempfile.gettempdir()}
    program = (sys.executable, "-m", f"lorapool_bench.fleet.{what}", *options)
    process = await asyncio.create_subprocess_exec(*program, env={k: v for k, v in environment.items() if v})
    stack.push_async_callback(_end, process)
    return process


async def _end(process: Process) -> None:
    if process.returncode is None:
        process.kill()
    await process.wait()
