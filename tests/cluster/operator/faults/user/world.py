"""What a random user acts on: an operator, a gateway and runtime pods that are processes, and a model of all of it."""

import asyncio
import contextlib
import os
import socket
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests import make
from tests.cluster.operator.fakes import Admin
from tests.cluster.operator.faults.forks import Fork
from tests.cluster.operator.faults.proxy import FaultyApi
from tests.cluster.operator.faults.scene import Scene
from tests.cluster.operator.faults.specs import Specs, differences, look
from tests.cluster.operator.faults.user.kubelet import ForkKubelet
from tests.cluster.operator.faults.user.model import Model
from tests.cluster.operator.harness import until

from lorapool_api.kinds.adapter import Adapter
from lorapool_common.kube.errors import ApiError
from lorapool_common.kube.resources import ADAPTERS, POOLS
from lorapool_operator.pods.control import Control

SETTLED_S = 60.0
# Files that the user names by a repository of the Hub; `missing` is in none.
ON_HUB = ("one", "two", "missing")


@dataclass
class World:
    """Actions of the user, told to the model too: before an object changes where it may serve less from then on, and
    after where it may serve more, so that the model never forbids what may be."""

    scene: Scene
    kubelet: ForkKubelet
    model: Model
    operator: Fork
    gateway: str
    began_s: float = field(default_factory=time.monotonic)

    @property
    def kube(self) -> Admin:
        return self.scene.it.kube

    @property
    def namespace(self) -> str:
        return self.scene.it.namespace

    @property
    def api(self) -> FaultyApi:
        return self.scene.api

    def now_s(self) -> float:
        return time.monotonic() - self.began_s

    async def create(self, name: str, pool: str, file: str) -> str:
        """Or not: one of that name may still be about to go."""
        began_s = self.now_s()
        made = make.adapter_manifest(name, self.namespace, pool=pool, source=self._source(file))
        try:
            await self.kube.create(ADAPTERS, self.namespace, made)
        except ApiError as error:
            if not error.is_conflict:
                raise
            return "its name is not free yet"
        self.model.create(name, pool, file, began_s)
        return "done"

    async def edit(self, name: str, file: str) -> None:
        self.model.edit(name, file, self.now_s())
        await self._patch(name, {"source": {"hub": None, "url": None} | self._source(file)})

    async def move(self, name: str, pool: str) -> None:
        self.model.living[name].pool = pool
        await self._patch(name, {"poolRef": {"name": pool}})

    async def delete(self, name: str) -> None:
        await self.kube.remove(ADAPTERS, self.namespace, name)
        self.model.delete(name, self.now_s())

    async def suspend(self, name: str, *, suspended: bool) -> None:
        if not suspended:
            self.model.suspend(name, None)
        await self._patch(name, {"suspend": suspended})
        if suspended:
            self.model.suspend(name, self.now_s())

    async def scale(self, pool: str, replicas: int) -> None:
        await self.kube.patch(POOLS, self.namespace, pool, {"spec": {"replicas": replicas}})

    async def restart_operator(self, how: int) -> None:
        await self.operator.end(how)
        self.operator = await self.scene.start_operator()
        self.model.operator_since_s = self.now_s()

    async def is_as_specified(self) -> None:
        await until(self.differences, lambda found: found == [], SETTLED_S)

    async def differences(self) -> list[str]:
        found = await look(self.scene.it, await self.kubelet.catalogs())
        specs = Specs(self.model.expected(found.adapters), ("other", "shapes"))
        return differences(found, specs, self.scene.installation)

    async def adapters(self) -> list[Adapter]:
        return [Adapter.model_validate(body) for body in await self.kube.list(ADAPTERS, self.namespace)]

    def _source(self, file: str) -> dict[str, Any]:
        """Of some files the Hub's, of the others an address."""
        if file in ON_HUB:
            return {"hub": {"repo": f"user/{file}"}}
        return {"url": f"{self.scene.hub.url}/plain/{file}.safetensors"}

    async def _patch(self, name: str, spec: dict[str, Any]) -> None:
        await self.kube.patch(ADAPTERS, self.namespace, name, {"spec": spec})


@contextlib.asynccontextmanager
async def world(scene: Scene, model: Model, folder: Path) -> AsyncIterator[World]:
    """With two pools whose pods are up."""
    kubelet = ForkKubelet(scene.it.kube, scene.it.namespace, folder, scene.forks, Control(signer=scene.keys.signer))
    port, health = _free_ports()
    env = {
        "KUBECONFIG": str(scene.plane_kubeconfig),
        "LORAPOOL_LISTEN": "127.0.0.1",
        "LORAPOOL_HTTP_PORT": str(port),
        "LORAPOOL_HEALTH_PORT": str(health),
        "LORAPOOL_NAMESPACES": scene.it.namespace,
        "HOME": os.environ.get("HOME", "/"),
    }
    async with kubelet.running():
        gateway = await scene.forks.start("gateway", env, folder / "gateway.log")
        serving = {"defaults": {"width": 64, "height": 64, "steps": 1}}
        await scene.it.make_pool("shapes", replicas=2, serving=serving)
        await scene.it.make_pool("other", serving=serving)
        made = World(scene, kubelet, model, await scene.start_operator(), f"http://127.0.0.1:{port}")
        try:
            await made.is_as_specified()
            yield made
        finally:
            await asyncio.gather(made.operator.end(), gateway.end())


def _free_ports() -> tuple[int, int]:
    with socket.socket() as one, socket.socket() as other:
        one.bind(("127.0.0.1", 0))
        other.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1]), int(other.getsockname()[1])
