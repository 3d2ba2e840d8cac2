"""A kubelet of a few lines: the containers of runtime pods are forks, each at a loopback address of its own."""

import asyncio
import contextlib
import os
import signal
import socket
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from secrets import randbelow
from typing import Any

import httpx
from tests.cluster.operator.fakes import Admin, running_status
from tests.cluster.operator.faults.forks import Fork, Forks

from lorapool_api.names import CONFIG_ENV, CONTROL_PORT, POOL_LABEL, SERVING_PORT
from lorapool_api.wire.state import AdapterPhase
from lorapool_common.kube.errors import ApiError
from lorapool_common.kube.resources import PODS
from lorapool_operator.pods.control import Control, ControlError

Manifest = dict[str, Any]
LOOK_S = 0.1


def free_address() -> str:
    """A loopback address where nobody listens at the ports of a pod."""
    while True:
        ip = f"127.{180 + randbelow(70)}.{1 + randbelow(254)}.{2 + randbelow(250)}"
        with contextlib.suppress(OSError), socket.socket() as one, socket.socket() as other:
            one.bind((ip, SERVING_PORT))
            other.bind((ip, CONTROL_PORT))
            return ip


@dataclass
class PodOfForks:
    """A pod of one container, which is started again whenever it ends."""

    name: str
    ip: str
    folder: Path
    env: Mapping[str, str]
    restarts: int = 0
    is_ready: bool | None = None
    container: Fork | None = None

    async def start(self, forks: Forks) -> None:
        self.container = await forks.start("runtime", self.env, self.folder / "log")

    async def kill(self, how: int = signal.SIGKILL) -> None:
        if self.container is not None:
            await self.container.end(how)


@dataclass
class ForkKubelet:
    """Runs the pods of a namespace."""

    kube: Admin
    namespace: str
    folder: Path
    forks: Forks
    control: Control
    pods: dict[str, PodOfForks] = field(default_factory=dict)

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator["ForkKubelet"]:
        async with httpx.AsyncClient(timeout=5.0, trust_env=False) as self._client:
            task = asyncio.create_task(self._run())
            try:
                yield self
            finally:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
                for pod in self.pods.values():
                    await pod.kill()
                await self.control.close()

    async def catalogs(self) -> dict[str, Mapping[str, str | None]]:
        """Key and sha256 of what each pod says that it has, by the pod's name."""
        return {pod.name: await self._catalog(pod) for pod in list(self.pods.values())}

    async def _catalog(self, pod: PodOfForks) -> Mapping[str, str | None]:
        try:
            state = await self.control.state(pod.ip, "", 0, None)
        except ControlError:
            return {}
        ready = {k: a.facts for k, a in state.adapters.items() if a.phase is AdapterPhase.READY}
        return {key: facts.sha256 if facts else None for key, facts in ready.items()}

    async def _run(self) -> None:
        while True:
            with contextlib.suppress(ApiError):
                await self._look()
            await asyncio.sleep(LOOK_S)

    async def _look(self) -> None:
        listed = {b["metadata"]["uid"]: b for b in await self.kube.list(PODS, self.namespace, POOL_LABEL)}
        bodies = {b["metadata"]["name"]: b for b in listed.values()}
        for name in set(self.pods) - set(bodies):
            await self.pods.pop(name).kill()
        for name, body in bodies.items():
            if body["metadata"].get("deletionTimestamp"):
                await self._end(name)
            elif name not in self.pods:
                self.pods[name] = await self._begin(name, body)
        await asyncio.gather(*(self._keep(pod) for pod in self.pods.values()))

    async def _begin(self, name: str, body: Manifest) -> PodOfForks:
        folder, ip = self.folder / name, free_address()
        wanted = {e["name"]: e.get("value") for e in body["spec"]["containers"][0]["env"]}
        env = {
            CONFIG_ENV: wanted[CONFIG_ENV],
            "POD_NAME": name,
            "POD_IP": ip,
            "LORAPOOL_CACHE_DIR": str(folder / "cache"),
            "LORAPOOL_CONTROL_TOKEN_DIR": str(folder / "none"),
            "LORAPOOL_GRACE_SECONDS": "2",
            "HOME": os.environ.get("HOME", "/"),
            "HF_ENDPOINT": wanted["HF_ENDPOINT"] or "",
        }
        (folder / "cache").mkdir(parents=True)
        return PodOfForks(name, ip, folder, env)

    async def _keep(self, pod: PodOfForks) -> None:
        if pod.container is None or not pod.container.is_running:
            pod.restarts += pod.container is not None
            await self._say(pod, ready=False)
            await pod.start(self.forks)
        else:
            await self._say(pod, ready=await self._is_ready(pod))

    async def _is_ready(self, pod: PodOfForks) -> bool:
        try:
            return (await self._client.get(f"http://{pod.ip}:{SERVING_PORT}/readyz")).status_code == httpx.codes.OK
        except httpx.HTTPError:
            return False

    async def _say(self, pod: PodOfForks, *, ready: bool) -> None:
        if ready == pod.is_ready:
            return
        status = running_status(pod.ip, ready=ready)
        status["containerStatuses"][0]["restartCount"] = pod.restarts
        await self.kube.patch(PODS, self.namespace, pod.name, {"status": status}, "status")
        pod.is_ready = ready

    async def _end(self, name: str) -> None:
        if name in self.pods:
            await self.pods.pop(name).kill(signal.SIGTERM)
        await self.kube.remove(PODS, self.namespace, name, grace_s=0)
