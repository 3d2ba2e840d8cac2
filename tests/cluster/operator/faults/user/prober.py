"""Asks for images of every name, again and again, and for the statuses: each must be as the model allows."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import httpx
from tests.cluster.operator.faults.user.actions import NAMES
from tests.cluster.operator.faults.user.world import World
from tests.cluster.operator.harness import until

PAUSE_S = 0.02


@dataclass
class Prober:
    """`wrong` is what must not have been; `images` how many were made."""

    world: World
    wrong: list[str] = field(default_factory=list)
    images: int = 0
    statuses: int = 0

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator["Prober"]:
        async with httpx.AsyncClient(timeout=30.0, trust_env=False) as self._client:
            tasks = [asyncio.create_task(self._ask_for(name)) for name in NAMES]
            tasks.append(asyncio.create_task(self._read_statuses()))
            try:
                yield self
                for task in tasks:
                    if task.done():
                        task.result()
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)

    async def serves_what_is_expected(self) -> None:
        """Once all has come to rest: each adapter by its file, and none that shall not be served."""
        world = self.world

        async def difference() -> dict[str, tuple[str | None, str | None]]:
            expected = world.model.expected({a.metadata.name: a for a in await world.adapters()})
            served = {name: await self.sha256_of(name) for name in expected}
            return {n: (served[n], wanted.sha256) for n, wanted in expected.items() if served[n] != wanted.sha256}

        await until(difference, lambda found: found == {})

    async def sha256_of(self, name: str) -> str | None:
        """Of the file that makes an image of that name now; None: nothing does."""
        url = f"{self.world.gateway}/models/{self.world.namespace}/{name}"
        try:
            reply = await self._client.post(url, json={"inputs": "a circle", "parameters": {"seed": 1}})
        except httpx.HTTPError:
            return None
        if reply.status_code != httpx.codes.OK:
            return None
        (used,) = json.loads(reply.headers["x-lorapool-adapters"])
        return str(used["sha256"])

    async def _ask_for(self, name: str) -> None:
        while True:
            asked_s = self.world.now_s()
            sha256 = await self.sha256_of(name)
            if sha256 is not None:
                self.images += 1
                self._judge(name, sha256, asked_s, "image")
            await asyncio.sleep(PAUSE_S * len(NAMES))

    async def _read_statuses(self) -> None:
        while True:
            asked_s = self.world.now_s()
            for adapter in await self.world.adapters():
                if adapter.is_ready and adapter.status.serving and adapter.status.serving.sha256:
                    self.statuses += 1
                    self._judge(adapter.metadata.name, adapter.status.serving.sha256, asked_s, "status")
            await asyncio.sleep(PAUSE_S * len(NAMES))

    def _judge(self, name: str, sha256: str, asked_s: float, what: str) -> None:
        wrong = self.world.model.wrong(name, sha256, asked_s, self.world.now_s())
        if wrong is not None:
            self.wrong.append(f"{what}: {wrong}")
