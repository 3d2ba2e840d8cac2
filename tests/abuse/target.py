"""The gateway and the pod that are attacked: what they have open, how large they are, whether work is left."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Final

import httpx
import psutil

from lorapool_api import names
from tests.abuse.processes import processes
from tests.waiting import until_read

_HEALTH_PORT: Final = 8081
_GOOD: Final = {"inputs": "a cat", "parameters": {"seed": 7}}
_SETTLE_S: Final = 60.0


@dataclass(frozen=True)
class Size:
    """Of a process.

    Attributes:
        open_files: file descriptors, connections among them.
    """

    resident_bytes: int
    open_files: int

    @classmethod
    def of(cls, process: psutil.Process) -> "Size":
        return cls(process.memory_info().rss, process.num_fds())


@dataclass(frozen=True)
class AttackedGateway:
    """A gateway with a pod behind it, both processes."""

    host: str
    port: int
    health: str
    pod: str
    processes: dict[str, psutil.Process]

    def sizes(self) -> dict[str, Size]:
        """Of the gateway and the pod; raises where one has ended."""
        return {name: Size.of(process) for name, process in self.processes.items()}

    async def good(self, http: httpx.AsyncClient) -> httpx.Response:
        """The answer to a request that is nobody's attack."""
        return await http.post(f"http://{self.host}:{self.port}/", json=_GOOD, headers={"accept": "image/png"})

    async def settled(self, http: httpx.AsyncClient) -> None:
        """Return when neither has a request left. Raises: AssertionError, where one stays."""
        demand = partial(_said, http, f"{self.health}/v1/demand")
        await until_read(demand, lambda found: not found["pools"], "the gateway has no request left", _SETTLE_S)
        status = partial(_said, http, self.pod)
        idle = {"pending": 0, "running": 0}
        await until_read(status, lambda found: found | idle == found, "the pod has no request left", _SETTLE_S)


async def _said(http: httpx.AsyncClient, url: str) -> dict[str, object]:
    said: dict[str, object] = (await http.get(url)).json()
    return said


@asynccontextmanager
async def attacked() -> AsyncIterator[AttackedGateway]:
    """A gateway that serves, without keys, and a pod with the stub engine: it reads pictures as any pod does."""
    async with processes() as made:
        yield AttackedGateway(
            made.gateway,
            names.SERVING_PORT,
            f"http://{made.gateway}:{_HEALTH_PORT}",
            f"http://{made.pod}:{names.SERVING_PORT}/v1/status",
            {"gateway": psutil.Process(made.gateway_pid), "pod": psutil.Process(made.pod_pid)},
        )
