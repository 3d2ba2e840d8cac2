"""Keys with bounds, as their clients meet them; whose a request was, in logs and metrics."""

import asyncio
from pathlib import Path
from typing import Any

import httpx
import pytest
from structlog.testing import capture_logs
from tests.unit.gateway.fakes import FakePod, World

from lorapool_gateway.metrics import MOST_KEY_NAMES, OTHER_KEYS, Metrics

KEY = {"x-api-key": "key-a"}


@pytest.fixture
def world(tmp_path: Path) -> World:
    (tmp_path / "alice").write_text("{key: key-a, rate: 2/minute, concurrent: 2}")
    (tmp_path / "bob").write_text("key-b")
    made = World(keys=tmp_path)
    made.pool()
    return made


@pytest.fixture
def pod(world: World) -> FakePod:
    return world.pod()


async def openai(client: httpx.AsyncClient, images: int = 1) -> httpx.Response:
    body: dict[str, Any] = {"prompt": "a cat", "n": images}
    return await client.post("/v1/images/generations", json=body)


async def test_a_key_that_has_had_its_images_waits_and_no_other_does(world: World, pod: FakePod) -> None:
    async with world.client(**KEY) as alice, world.client(**{"x-api-key": "key-b"}) as bob:
        assert (await openai(alice, 2)).status_code == 200
        refused = await openai(alice)
        hf = await alice.post("/", content="a cat")
        sdapi = await alice.post("/sdapi/v1/txt2img", json={"prompt": "a cat"})
        assert (await openai(bob, 4)).status_code == 200
    for answer in (refused, hf, sdapi):
        assert answer.status_code == 429
        assert 1 <= int(answer.headers["retry-after"]) <= 60
        assert answer.headers["x-should-retry"] == "true"
    assert refused.json()["error"]["code"] == "rate_limit_exceeded"
    assert refused.json()["error"]["type"] == "rate_limit_error"
    assert "2 per 1 minute" in hf.json()["error"]
    assert sdapi.json()["error"] == "rate_limit_exceeded"
    assert len(pod.received) == 2


async def test_a_key_has_as_many_requests_under_way_as_it_may(world: World, pod: FakePod) -> None:
    pod.hold = asyncio.Event()
    async with world.client(**KEY) as client:
        running = [asyncio.create_task(client.post("/", content="a cat")) for _ in range(2)]
        async with asyncio.timeout(10):
            while len(pod.received) < 2:  # noqa: ASYNC110 -- it has no event
                await asyncio.sleep(0)
        refused = await client.post("/", content="a cat")
        pod.hold.set()
        done = await asyncio.gather(*running)
    assert [answer.status_code for answer in done] == [200, 200]
    assert refused.status_code == 429
    assert "at once" in refused.json()["error"]


async def test_more_images_than_a_key_may_ever_have_are_a_bad_request(world: World, pod: FakePod) -> None:
    async with world.client(**KEY) as client:
        answer = await openai(client, 3)
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "n")


async def test_what_was_refused_before_a_pod_could_be_chosen_costs_nothing(world: World, pod: FakePod) -> None:
    async with world.client(**KEY) as client:
        for _ in range(3):
            assert (await client.post("/models/nobody", content="a cat")).status_code == 404
        assert (await openai(client, 2)).status_code == 200


async def test_the_name_of_a_key_is_in_logs_and_metrics_and_the_key_is_not(world: World, pod: FakePod) -> None:
    with capture_logs() as lines:
        async with world.client(**KEY) as client:
            await openai(client, 2)
            await openai(client)
    refused = [line for line in lines if line["event"] == "refused"]
    assert [line["api_key"] for line in refused] == ["alice"]
    text = world.metrics.text().decode()
    assert 'lorapool_gateway_key_images_total{key="alice",outcome="ok"} 2.0' in text
    assert 'lorapool_gateway_key_requests_total{key="alice",outcome="rate_limit_exceeded"} 1.0' in text
    assert "key-a" not in text + str(lines)


def test_names_of_keys_are_few_series_however_many_there_are() -> None:
    metrics = Metrics()
    for number in range(2 * MOST_KEY_NAMES):
        metrics.answered_key(f"key-{number}", "ok", 1)
    text = metrics.text().decode()
    assert text.count("lorapool_gateway_key_images_total{") == MOST_KEY_NAMES + 1
    assert f'lorapool_gateway_key_images_total{{key="{OTHER_KEYS}",outcome="ok"}} {MOST_KEY_NAMES}.0' in text
