"""Two gateways as processes on a real API server: they agree without talking, and share what a key may ask for."""

import asyncio
import json
import os
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final

import httpx
import pytest
from aiohttp import web
from starlette.responses import StreamingResponse
from tests import make
from tests.cluster.namespace import Namespace
from tests.cluster.operator.harness import install_crds
from tests.unit.gateway.fakes import FakePod
from tests.waiting import until, until_read

from lorapool_api import names
from lorapool_api.wire.request import GenerateRequest
from lorapool_api.wire.state import ServingStatus
from lorapool_common.changes import Changes
from lorapool_common.kube.resources import ADAPTERS, ENDPOINT_SLICES, PODS, POOLS, REPLICA_SETS
from lorapool_local.plane import Plane
from lorapool_runtime.http.status_stream import StatusStreams

pytestmark = pytest.mark.plane
DEADLINE_S: Final = 60.0
SERVICE: Final = "lorapool-gateway"
SLICE: Final = f"{SERVICE}-x"
KEY: Final = "a-key-of-the-test"
ADAPTERS_ASKED: Final = [f"style-{number}" for number in range(12)]


@dataclass
class Gateway:
    """A gateway's process, and the name that it has as a pod."""

    name: str
    url: str
    process: asyncio.subprocess.Process
    client: httpx.AsyncClient

    async def ask(self, adapter: str) -> httpx.Response:
        return await self.client.post(f"{self.url}:{names.SERVING_PORT}/models/{adapter}", content="a cat")

    async def sharing(self) -> str:
        """The line of its metrics that says how many gateways share the budgets."""
        text = (await self.client.get(f"{self.url}:{names.GATEWAY_HEALTH_PORT}/metrics")).text
        return next(line for line in text.splitlines() if line.startswith("lorapool_gateway_sharing_gateways"))

    async def share(self, count: int) -> None:
        """Return when it knows that so many do."""
        wanted = f"lorapool_gateway_sharing_gateways {count}.0"
        await until_read(self.sharing, lambda line: line == wanted, f"{self.name} knows of {count}", DEADLINE_S)

    async def know(self, pods: int) -> None:
        """Return when it knows the state of so many pods."""

        async def known() -> int:
            found = (await self.client.get(f"{self.url}:{names.GATEWAY_HEALTH_PORT}/v1/demand")).json()
            return len(found["pods"])

        await until_read(known, lambda count: count == pods, f"{self.name} knows the pods", DEADLINE_S)

    async def is_ready(self) -> bool:
        assert self.process.returncode is None, "the gateway has ended"
        try:
            return (await self.client.get(f"{self.url}:{names.GATEWAY_HEALTH_PORT}/readyz")).is_success
        except httpx.TransportError:
            return False


@dataclass
class Pods:
    """Runtime pods as a ReplicaSet has made them; what they serve is here."""

    fakes: dict[str, FakePod] = field(default_factory=dict)

    @property
    def requests(self) -> int:
        return sum(len(fake.received) for fake in self.fakes.values())

    def holder(self, adapter: str) -> str:
        """The pod that has had all requests for the adapter."""
        had = {
            name for name, fake in self.fakes.items() for one in fake.received if one.adapters[0].key.endswith(adapter)
        }
        (name,) = had
        return name


@dataclass
class Spoken:
    """What a pod says of itself."""

    fake: FakePod
    is_over: bool = False
    queued: Changes = field(default_factory=Changes)

    def status(self, since: int | None = None) -> ServingStatus:
        return self.fake.status


def addresses(count: int) -> list[str]:
    """So many of the loopback network, that nobody else has."""
    network = ".".join(["127", *(str(64 + byte % 190) for byte in os.urandom(2))])
    return [f"{network}.{host}" for host in range(1, count + 1)]


@asynccontextmanager
async def served(fake: FakePod) -> AsyncIterator[None]:
    """The pod at its address, with the runtime's own stream of its state."""
    streams = StatusStreams(Spoken(fake), time.monotonic)

    async def answer(request: web.Request) -> web.StreamResponse:
        if request.path == "/v1/status":
            said = streams.answer(request.headers["accept"], None)
            assert isinstance(said, StreamingResponse)
            stream = web.StreamResponse(headers={"content-type": said.media_type or ""})
            await stream.prepare(request)
            with suppress(ConnectionError):  # whoever listened was ended
                async for line in said.body_iterator:
                    await stream.write(line.encode() if isinstance(line, str) else bytes(line))
            return stream
        reply = await fake.generate(GenerateRequest.model_validate_json(await request.read()))
        return web.Response(text=reply.model_dump_json())

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, fake.name, names.SERVING_PORT).start()
    try:
        yield
    finally:
        await runner.cleanup()


async def make_pods(stack: AsyncExitStack, namespace: Namespace, at: list[str]) -> Pods:
    """A ReplicaSet of pods that no scheduler places: their states are written here, and they answer here."""
    labels = {names.POOL_LABEL: "shapes", "pod-template-hash": "59d8"}
    name = f"{names.runtime_name('shapes')}-59d8"
    containers = [{"name": "runtime", "image": "none"}]
    spec = {"schedulerName": "nobody", "terminationGracePeriodSeconds": 0, "containers": containers}
    template = {"metadata": {"labels": labels}, "spec": spec}
    await namespace.kube.create(
        REPLICA_SETS,
        namespace.name,
        {
            "metadata": {"name": name},
            "spec": {"replicas": len(at), "selector": {"matchLabels": labels}, "template": template},
        },
    )
    listed = partial(namespace.kube.list, PODS, namespace.name)
    found = await until_read(listed, lambda pods: len(pods) == len(at), "the pods are made", DEADLINE_S)
    pods = Pods()
    for manifest, address in zip(found, at, strict=True):
        status = {"phase": "Running", "podIP": address, "podIPs": [{"ip": address}]}
        own = manifest["metadata"]["name"]
        await namespace.kube.patch(PODS, namespace.name, own, {"status": status}, subresource="status")
        pods.fakes[own] = fake = FakePod(address, pool=f"{namespace.name}/shapes")
        await stack.enter_async_context(served(fake))
    return pods


async def make_adapters(namespace: Namespace) -> None:
    """A pool, and adapters that are Ready as the operator says it."""
    await namespace.kube.create(POOLS, namespace.name, make.pool_manifest(namespace=namespace.name))
    ready = {
        "type": "Ready",
        "status": "True",
        "reason": "Served",
        "message": "",
        "observedGeneration": 1,
        "lastTransitionTime": "2026-01-02T03:04:05Z",
    }
    for name in ADAPTERS_ASKED:
        await namespace.kube.create(ADAPTERS, namespace.name, make.adapter_manifest(name, namespace.name))
        status = {"status": {"conditions": [ready], "observedGeneration": 1}}
        await namespace.kube.patch(ADAPTERS, namespace.name, name, status, subresource="status")


def endpoint(name: str, number: int) -> dict[str, Any]:
    """A gateway's pod that is ready. Which address it has does not matter; one of the loopback network is refused."""
    target = {"kind": "Pod", "name": name}
    return {"addresses": [f"192.0.2.{number}"], "conditions": {"ready": True}, "targetRef": target}


async def make_slice(namespace: Namespace, gateways: Sequence[str]) -> None:
    """What the endpoint controller makes of gateways that are ready."""
    metadata = {"name": SLICE, "labels": {"kubernetes.io/service-name": SERVICE}}
    endpoints = [endpoint(name, number) for number, name in enumerate(gateways, 1)]
    body = {"metadata": metadata, "addressType": "IPv4", "endpoints": endpoints}
    await namespace.kube.create(ENDPOINT_SLICES, namespace.name, body)


async def start(
    stack: AsyncExitStack, plane: Plane, namespace: Namespace, folder: Path, name: str, address: str
) -> Gateway:
    environment = {
        "PATH": os.environ["PATH"],
        "KUBECONFIG": str(plane.kubeconfig),
        "LORAPOOL_LISTEN": address,
        "LORAPOOL_NAMESPACES": namespace.name,
        "LORAPOOL_SERVICE": f"{namespace.name}/{SERVICE}",
        "LORAPOOL_API_KEYS_DIR": str(folder),
        "LORAPOOL_LOG_LEVEL": "ERROR",
    }
    command = ("-m", "lorapool_common.cli", "gateway")
    process = await asyncio.create_subprocess_exec(sys.executable, *command, env=environment)
    stack.push_async_callback(end, process)
    headers = {"authorization": f"Bearer {KEY}"}
    client = await stack.enter_async_context(httpx.AsyncClient(headers=headers, timeout=DEADLINE_S))
    return Gateway(name, f"http://{address}", process, client)


async def end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        process.kill()
    await process.wait()


async def refused_beyond(gateway: Gateway, pods: Pods, most: int) -> list[asyncio.Task[httpx.Response]]:
    """Ask until the key has so many under way in this gateway, and see the next one refused."""
    before = pods.requests
    tasks = [asyncio.create_task(gateway.ask(ADAPTERS_ASKED[0])) for _ in range(most)]
    await until(lambda: pods.requests == before + most, "the pods have them", DEADLINE_S)
    assert (await gateway.ask(ADAPTERS_ASKED[0])).status_code == HTTPStatus.TOO_MANY_REQUESTS
    return tasks


@pytest.mark.timeout(180)
async def test_two_gateways_agree_on_pods_and_budgets_and_one_takes_over_the_share_of_one_that_was_killed(
    plane: Plane, namespace: Namespace, tmp_path: Path
) -> None:
    install_crds(plane.kubectl, plane.kubeconfig)
    (tmp_path / "studio").write_text(json.dumps({"key": KEY, "concurrent": 4}))
    first, second, *of_pods = addresses(4)
    async with AsyncExitStack() as stack:
        await make_adapters(namespace)
        pods = await make_pods(stack, namespace, of_pods)
        at = {"gateway-a": first, "gateway-b": second}
        a, b = [await start(stack, plane, namespace, tmp_path, name, address) for name, address in at.items()]
        for gateway in (a, b):
            await until_read(gateway.is_ready, bool, f"{gateway.name} is ready", DEADLINE_S)
            await gateway.know(len(of_pods))

        # Both are asked at once for what no pod has yet: neither can know of it from the other, or from a pod.
        for name in ADAPTERS_ASKED:
            replies = await asyncio.gather(a.ask(name), b.ask(name))
            assert [reply.status_code for reply in replies] == [HTTPStatus.OK] * 2
        assert {pods.holder(name) for name in ADAPTERS_ASKED} == set(pods.fakes)

        await make_slice(namespace, list(at))
        await asyncio.gather(a.share(2), b.share(2))
        for fake in pods.fakes.values():
            fake.hold = asyncio.Event()
        shared = [*await refused_beyond(a, pods, 2), *await refused_beyond(b, pods, 2)]
        b.process.kill()
        await b.process.wait()
        left = {"endpoints": [endpoint(a.name, 1)]}
        await namespace.kube.patch(ENDPOINT_SLICES, namespace.name, SLICE, left)
        await a.share(1)
        alone = await refused_beyond(a, pods, 2)
        for fake in pods.fakes.values():
            assert fake.hold is not None
            fake.hold.set()
        answered = await asyncio.gather(*shared[:2], *alone)
        assert [reply.status_code for reply in answered] == [HTTPStatus.OK] * 4
        with pytest.raises(httpx.TransportError):
            await shared[2]
        with pytest.raises(httpx.TransportError):
            await shared[3]
