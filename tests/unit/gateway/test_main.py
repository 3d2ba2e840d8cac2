"""All parts of a gateway, put together, with defects in one of them."""

import asyncio
from collections.abc import AsyncGenerator

import pytest
from tests.unit.gateway.api_server import FakeApi
from tests.unit.gateway.fakes import FakePod, Network

from lorapool_api.wire.state import ServingStatus
from lorapool_common.supervision import Supervisor
from lorapool_gateway.cluster.directory import ObjectKind
from lorapool_gateway.cluster.snapshot import RuntimePod
from lorapool_gateway.main import Gateway
from lorapool_gateway.settings import Settings


class BrokenNetwork(Network):
    """A client of pods with a defect."""

    def follow(self, pod: RuntimePod, known: ServingStatus | None = None) -> AsyncGenerator[ServingStatus | None, None]:
        raise KeyError("status")


@pytest.mark.parametrize("broken", ["watch of the cluster", "poll of the pods"])
async def test_it_ends_when_a_task_of_it_does_and_says_which(broken: str) -> None:
    kube, pods = FakeApi(), Network()
    kube.items[ObjectKind.POD] = [FakePod("a").manifest]
    if broken == "watch of the cluster":
        kube.broken = KeyError("metadata")
    else:
        pods = BrokenNetwork()
    supervisor = Supervisor()
    async with asyncio.timeout(30):
        await Gateway(Settings(listen="127.0.0.1", http_port=0, health_port=0), kube, pods, supervisor).run()
        await supervisor.end()
    assert supervisor.failure is not None
    assert supervisor.failure.task == f"the {broken}"
    assert "KeyError" in supervisor.failure.reason


class ListeningNetwork(Network):
    """A client of pods that say nothing; whether anybody listens to one."""

    def __init__(self) -> None:
        super().__init__()
        self.listening = asyncio.Event()
        self.listeners = 0

    async def follow(
        self, pod: RuntimePod, known: ServingStatus | None = None
    ) -> AsyncGenerator[ServingStatus | None, None]:
        self.listeners += 1
        self.listening.set()
        try:
            yield FakePod("a").status
            await asyncio.Event().wait()
        finally:
            self.listeners -= 1


async def test_nobody_listens_to_pods_any_more_when_it_has_ended() -> None:
    """Whoever runs it then closes what it asked them with: to go on listening would be a failure of the process."""
    kube, pods, supervisor = FakeApi(), ListeningNetwork(), Supervisor()
    kube.items[ObjectKind.POD] = [FakePod("a").manifest]
    async with asyncio.timeout(30):
        gateway = Gateway(Settings(listen="127.0.0.1", http_port=0, health_port=0), kube, pods, supervisor)
        running = asyncio.create_task(gateway.run())
        await pods.listening.wait()
        supervisor.stop()
        await running
    assert pods.listeners == 0
    assert supervisor.failure is None
    await supervisor.end()
