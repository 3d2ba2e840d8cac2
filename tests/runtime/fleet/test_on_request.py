"""Adapters that a pod does not hold: brought when a request asks, by one load for however many wait."""

import asyncio
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests import files
from tests.runtime.pods import Running, config, eventually, settings, started
from tests.web import Reply, Web

from lorapool_api.kinds.serving import Serving
from lorapool_api.wire.catalog import CatalogEntry
from lorapool_api.wire.fleet import Assignment
from lorapool_api.wire.sources.basic import UrlFile
from lorapool_api.wire.state import AdapterPhase, BasePhase
from lorapool_runtime.settings import Settings

SERVING = Serving.model_validate({"defaults": {"width": 64, "height": 64, "steps": 2}, "maxPending": 4})


def own(folder: Path, web: Web) -> Settings:
    return settings(folder, config(folder, url_hosts=(web.host,), serving=SERVING))


@pytest.fixture
async def pod(tmp_path: Path, web: Web) -> AsyncIterator[Running]:
    async with started(own(tmp_path, web)) as pod:
        await eventually(lambda: pod.runtime.state().base.phase is BasePhase.WARM)
        yield pod


async def assign(pod: Running, *holds: str) -> None:
    assignment = Assignment.of("pod-0", {}, holds)
    (await pod.control.put("/v1/assignment", json=assignment.model_dump(mode="json"))).raise_for_status()


def entries(web: Web, count: int) -> list[CatalogEntry]:
    for number in range(count):
        web.answers[f"/{number}.safetensors"] = Reply(body=files.lora_file(seed=number))
    source = [UrlFile(url=f"{web.url}/{number}.safetensors") for number in range(count)]
    return [CatalogEntry(key=f"default/{number}", generation=1, source=source[number]) for number in range(count)]


async def test_only_what_the_pod_holds_is_brought_and_spoken_of(pod: Running, web: Web) -> None:
    await assign(pod, "default/1")
    state = await pod.apply(*entries(web, 5))
    assert set(state.adapters) == {"default/1"}
    assert (await pod.until("default/1")).phase is AdapterPhase.READY
    assert {path for _, path in web.seen} == {"/1.safetensors"}


async def test_a_request_brings_what_the_pod_does_not_hold(pod: Running, web: Web) -> None:
    await assign(pod)
    await pod.apply(*entries(web, 3))
    reply = await pod.generate(adapters=[{"key": "default/2"}])
    assert reply.status_code == 200, reply.text
    assert reply.json()["adapters"][0]["sha256"] == files.sha256(files.lora_file(seed=2))
    assert (await pod.state()).adapters["default/2"].phase is AdapterPhase.READY


async def test_a_pod_tells_how_long_it_worked_with_which_adapters(pod: Running, web: Web) -> None:
    await assign(pod)
    await pod.apply(*entries(web, 3))
    for key in ("default/0", "default/2"):
        assert (await pod.generate(adapters=[{"key": key}])).status_code == 200
    busy_s = (await pod.state()).busy_s
    assert set(busy_s) == {"default/0", "default/2"}
    assert all(seconds > 0 for seconds in busy_s.values())


async def test_one_load_serves_all_that_wait(pod: Running, web: Web) -> None:
    await assign(pod)
    await pod.apply(*entries(web, 1))
    replies = await asyncio.gather(*(pod.generate(adapters=[{"key": "default/0"}]) for _ in range(4)))
    assert {reply.status_code for reply in replies} == {200}
    assert web.count("GET", "/0.safetensors") == 1


async def test_those_that_wait_for_a_file_count_as_waiting(pod: Running, web: Web) -> None:
    await assign(pod)
    await pod.apply(*entries(web, 1))
    release = threading.Event()
    web.answers["/0.safetensors"] = Reply(body=files.lora_file(), hold=release)
    waiting = [asyncio.create_task(pod.generate(adapters=[{"key": "default/0"}])) for _ in range(4)]
    await eventually(lambda: pod.runtime.status().pending == 4)
    assert (await pod.generate()).status_code == 429
    assert (await pod.serving.get("/v1/status")).json()["pending"] == 4
    release.set()
    assert {reply.status_code for reply in await asyncio.gather(*waiting)} == {200}


async def test_a_request_for_what_is_not_to_be_had_is_told_so(pod: Running, web: Web) -> None:
    await assign(pod)
    await pod.apply(*entries(web, 1))
    web.answers["/0.safetensors"] = Reply(404)
    reply = await pod.generate(adapters=[{"key": "default/0"}])
    assert (reply.status_code, reply.json()["reason"]) == (422, "SourceNotFound")


async def test_what_is_held_later_is_brought_then(pod: Running, web: Web) -> None:
    await assign(pod)
    await pod.apply(*entries(web, 2))
    await assign(pod, "default/0")
    assert (await pod.until("default/0")).phase is AdapterPhase.READY
    await assign(pod, "default/1")
    assert (await pod.until("default/1")).phase is AdapterPhase.READY
    assert pod.runtime.state().adapters["default/0"].phase is AdapterPhase.READY


async def test_a_restarted_process_brings_what_it_held_and_no_more(tmp_path: Path, web: Web) -> None:
    async with started(own(tmp_path, web)) as pod:
        await assign(pod, "default/1")
        await pod.apply(*entries(web, 3))
        await pod.until("default/1", AdapterPhase.READY)
    web.seen.clear()
    async with started(own(tmp_path, web)) as pod:
        await pod.until("default/1", AdapterPhase.READY)
        assert set(pod.runtime.state().adapters) == {"default/1"}
        assert web.seen == []


async def test_without_an_assignment_all_are_held(pod: Running, web: Web) -> None:
    await pod.apply(*entries(web, 3))
    for number in range(3):
        assert (await pod.until(f"default/{number}")).phase is AdapterPhase.READY
