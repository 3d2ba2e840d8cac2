"""A request's steps as server-sent events, and pictures to begin with, over HTTP."""

import asyncio
import base64
import io
import json
from pathlib import Path
from typing import Any

import httpx
from PIL import Image
from tests.runtime.pods import config, eventually, settings, started

from lorapool_api.kinds.runtime import StubTimings

EVENTS = {"accept": "text/event-stream"}


async def events(pod: Any, **body: Any) -> list[tuple[str, dict[str, Any]]]:
    """All events of one request: (name, data)."""
    found = []
    async with pod.serving.stream("POST", "/v1/generate", json={"prompt": "a circle", **body}, headers=EVENTS) as reply:
        assert reply.headers["content-type"].startswith("text/event-stream")
        name = ""
        async for line in reply.aiter_lines():
            field, _, value = line.partition(": ")
            if field == "event":
                name = value
            elif field == "data":
                found.append((name, json.loads(value)))
    return found


async def test_each_step_is_an_event_and_the_last_one_is_the_reply(tmp_path: Path) -> None:
    # Steps that take no time leave previews behind: the newest takes the place of one that waits.
    timings = StubTimings(step_milliseconds=100)
    async with started(settings(tmp_path, config(tmp_path, timings))) as pod:
        await pod.apply()
        await eventually(lambda: pod.runtime.not_ready is None)
        came = await events(pod, steps=4, previews=2, width=64, height=64, seed=1)
        plain = (await pod.generate(steps=4, width=64, height=64, seed=1)).json()
    assert [name for name, _ in came] == ["step"] * 4 + ["done"]
    assert [(data["number"], data["of"]) for _, data in came[:4]] == [(1, 4), (2, 4), (3, 4), (4, 4)]
    previews = [base64.b64decode(data["preview"]) for _, data in came[:4] if data["preview"]]
    assert [Image.open(io.BytesIO(p)).size for p in previews] == [(64, 64)] * 2
    assert came[-1][1]["images"] == plain["images"]


async def test_what_goes_wrong_before_the_first_step_is_an_ordinary_error(tmp_path: Path) -> None:
    async with started(settings(tmp_path, config(tmp_path))) as pod:
        await pod.apply()
        await eventually(lambda: pod.runtime.not_ready is None)
        body = {"prompt": "a", "adapters": [{"key": "nobody"}]}
        reply = await pod.serving.post("/v1/generate", json=body, headers=EVENTS)
        assert (reply.status_code, reply.json()["code"]) == (404, "UnknownAdapter")


async def test_an_error_after_the_first_step_is_an_event(tmp_path: Path) -> None:
    slow = config(tmp_path, StubTimings(step_milliseconds=100))
    serving = slow.serving.model_copy(update={"request_timeout_seconds": 1})
    async with started(settings(tmp_path, slow.model_copy(update={"serving": serving}))) as pod:
        await pod.apply()
        await eventually(lambda: pod.runtime.not_ready is None)
        came = await events(pod, steps=50, width=64, height=64)
        assert (came[0][0], came[-1][0], came[-1][1]["code"]) == ("step", "error", "Timeout")
        assert 'outcome="Timeout"} 1.0' in (await pod.serving.get("/metrics")).text


async def test_a_client_that_leaves_its_events_is_not_served_any_more(tmp_path: Path) -> None:
    async with started(settings(tmp_path, config(tmp_path, StubTimings(step_milliseconds=200)))) as pod:
        await pod.apply()
        await eventually(lambda: pod.runtime.not_ready is None)
        body = {"prompt": "a", "steps": 100}
        async with pod.serving.stream("POST", "/v1/generate", json=body, headers=EVENTS) as reply:
            async for line in reply.aiter_lines():
                if line.startswith("event"):
                    break
        await eventually(lambda: pod.runtime.status().running == 0)


async def test_a_picture_to_begin_with_changes_the_result_and_gives_it_its_size(tmp_path: Path) -> None:
    async with started(settings(tmp_path, config(tmp_path))) as pod:
        await pod.apply()
        await eventually(lambda: pod.runtime.not_ready is None)
        sent = [_png(colour) for colour in ("red", "red", "blue")]
        replies = await asyncio.gather(*(pod.generate(seed=3, image=image) for image in sent))
        assert all(reply.status_code == 200 for reply in replies)
        first, again, other = (reply.json() for reply in replies)
    assert (first["width"], first["height"]) == (48, 40)
    assert first["images"] == again["images"] != other["images"]


async def test_a_body_with_pictures_may_be_large_but_not_any_size(tmp_path: Path) -> None:
    async with started(settings(tmp_path, config(tmp_path))) as pod:
        reply: httpx.Response = await pod.generate(image="A" * (17 * 1024 * 1024))
        assert reply.status_code == 400


def _png(colour: str) -> str:
    buffer = io.BytesIO()
    Image.new("RGB", (50, 40), colour).save(buffer, "PNG")
    return base64.b64encode(buffer.getvalue()).decode()
