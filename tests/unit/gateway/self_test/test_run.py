"""What the self-test does with an API server and a gateway that are the test's own."""

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
import typer
from tests.virtual_time import elapse

from lorapool_api.kinds.adapter import Adapter
from lorapool_api.kinds.pool import Pool
from lorapool_api.lora.facts import read_facts
from lorapool_api.lora.header import header_length, parse_header
from lorapool_common.kube.errors import ApiError
from lorapool_common.kube.resources import Manifest, Resource
from lorapool_gateway.self_test.command import authorization, service_address
from lorapool_gateway.self_test.objects import SelfTestObjects, adapter_file, adapter_sha256
from lorapool_gateway.self_test.run import SelfTestFailed, self_test

OBJECTS = SelfTestObjects("self-test-1", "team", {"tolerations": [{"key": "gpu", "operator": "Exists"}]})
PNG = b"\x89PNG\r\n\x1a\n and so on"
Answer = Callable[[httpx.Request], httpx.Response]


@dataclass
class FakeObjects:
    """Objects that become Ready after they were looked at some times."""

    looks: int = 2
    condition: Manifest = field(default_factory=lambda: {"type": "Ready", "status": "True"})
    applied: list[Manifest] = field(default_factory=list)
    deleted: list[tuple[str, str]] = field(default_factory=list)

    async def apply(self, manifest: Manifest) -> Manifest:
        self.applied.append(manifest)
        return manifest

    async def get(self, resource: Resource, namespace: str | None, name: str) -> Manifest:
        self.looks -= 1
        return {"status": {"conditions": [self.condition]}} if self.looks < 0 else {}

    async def delete(self, resource: Resource, namespace: str | None, name: str) -> Manifest:
        self.deleted.append((resource.kind, name))
        return {}


def made_by(sha256: str) -> Answer:
    headers = {"x-lorapool-adapters": json.dumps([{"key": "k", "sha256": sha256, "scale": 1}])}
    return lambda _: httpx.Response(200, stream=httpx.ByteStream(PNG), headers=headers)


async def run(kube: Any, answer: Answer, within_s: float = 60) -> None:
    async with httpx.AsyncClient(base_url="http://gateway.test", transport=httpx.MockTransport(answer)) as gateway:
        await self_test(kube, gateway, OBJECTS, within_s)


@pytest.mark.virtual_time
async def test_an_image_by_the_adapter_is_what_it_wants_and_nothing_stays() -> None:
    asked: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        return made_by(adapter_sha256())(request)

    kube = FakeObjects()
    await run(kube, answer)
    assert [request.url.path for request in asked] == ["/models/team/self-test-1-lora"]
    assert [manifest["kind"] for manifest in kube.applied] == ["ConfigMap", "BaseModelPool", "LoraAdapter"]
    assert kube.deleted == [(m["kind"], m["metadata"]["name"]) for m in reversed(kube.applied)]


@pytest.mark.virtual_time
async def test_an_image_by_another_adapter_is_a_failure() -> None:
    kube = FakeObjects()
    with pytest.raises(SelfTestFailed, match="was made by"):
        await run(kube, made_by("0" * 64))
    assert len(kube.deleted) == 3


@pytest.mark.virtual_time
async def test_what_the_gateway_says_instead_of_an_image_is_told() -> None:
    with pytest.raises(SelfTestFailed, match="answers 503: no pod"):
        await run(FakeObjects(), lambda _: httpx.Response(503, stream=httpx.ByteStream(b"no pod")))

    def refuse(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused", request=request)

    with pytest.raises(SelfTestFailed, match="refused"):
        await run(FakeObjects(), refuse)


@pytest.mark.virtual_time
@pytest.mark.parametrize(
    ("kube", "said"),
    [
        (FakeObjects(looks=10**9), "does the operator run"),
        (FakeObjects(condition={"type": "Ready", "status": "False", "reason": "Why", "message": "so"}), "Why: so"),
    ],
    ids=["nobody looks", "not ready"],
)
async def test_when_its_time_is_over_it_says_what_it_waited_for(kube: FakeObjects, said: str) -> None:
    with pytest.raises(SelfTestFailed, match=f"not done after 60 s: BaseModelPool team/self-test-1: .*{said}"):
        await run(kube, made_by(adapter_sha256()))
    assert len(kube.deleted) == 3


@pytest.mark.virtual_time
async def test_one_that_is_told_to_end_removes_what_it_made() -> None:
    kube = FakeObjects(looks=10**9)
    task = asyncio.create_task(run(kube, made_by(adapter_sha256())))
    await elapse(5)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert len(kube.deleted) == 3


@pytest.mark.virtual_time
async def test_a_refused_object_ends_it() -> None:
    class Refusing(FakeObjects):
        async def apply(self, manifest: Manifest) -> Manifest:
            raise ApiError(403, "Forbidden", "no")

        async def delete(self, resource: Resource, namespace: str | None, name: str) -> Manifest:
            raise ApiError(404, "NotFound", "none")

    with pytest.raises(ApiError, match="Forbidden"):
        await run(Refusing(), made_by(adapter_sha256()))


def test_its_objects_are_what_the_kinds_allow() -> None:
    _, pool, adapter = OBJECTS.manifests
    given = {"uid": "u", "generation": 1, "creationTimestamp": "2026-01-01T00:00:00Z"}
    read = Pool.model_validate(pool | {"metadata": pool["metadata"] | given})
    assert read.spec.runtime.pod_template is not None
    assert read.spec.runtime.pod_template["spec"]["tolerations"] == OBJECTS.placement["tolerations"]
    assert Adapter.model_validate(adapter | {"metadata": adapter["metadata"] | given}).spec.pool_ref


def test_its_file_is_a_lora() -> None:
    content = adapter_file()
    length = header_length(content[:8], len(content))
    facts = read_facts(parse_header(content[8 : 8 + length], len(content)))
    assert (facts.format, facts.rank) == ("diffusers", 4)


def test_the_first_key_that_is_for_everything_is_used(tmp_path: Path) -> None:
    bounded, slip = "{key: a, pools: [x/y]}", "{slip"
    entries = {"a": bounded, "b": f"sha256: {'ab' * 32}", "c": slip, "d": "key: key-d\nconcurrent: 1", "e": "key-e"}
    for name, entry in entries.items():
        (tmp_path / name).write_text(entry)
    assert authorization(tmp_path) == {"authorization": "Bearer key-d"}
    assert authorization(None) == {}


def test_the_gateways_address_is_that_of_its_service() -> None:
    environment = {"A_GATEWAY_SERVICE_HOST": "10.0.0.1", "A_GATEWAY_SERVICE_PORT": "80"}
    assert service_address("a-gateway", environment) == "10.0.0.1:80"
    assert service_address("b", {"B_SERVICE_HOST": "fd00::1", "B_SERVICE_PORT": "443"}) == "[fd00::1]:443"
    with pytest.raises(typer.BadParameter, match="C_SERVICE_HOST"):
        service_address("c", environment)
