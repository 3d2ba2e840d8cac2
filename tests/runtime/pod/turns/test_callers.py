"""A pod whose requests come from several callers, over HTTP."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.runtime.pods import Running, config, settings, started
from tests.waiting import until

from lorapool_api.kinds.runtime import StubTimings
from lorapool_api.kinds.serving import Serving

# Two steps: longer than a slice, so that turns go by callers.
SLOW = StubTimings(step_milliseconds=400)
SERVING = Serving.model_validate({"maxPending": 4, "defaults": {"steps": 2, "width": 64, "height": 64}})


@contextlib.asynccontextmanager
async def ready(tmp_path: Path, timings: StubTimings | None = None) -> AsyncIterator[Running]:
    """A pod that takes requests."""
    async with started(settings(tmp_path, config(tmp_path, timings, serving=SERVING))) as pod:
        await pod.apply()
        await until(lambda: pod.runtime.not_ready is None, "it is ready")
        yield pod


async def waiting(pod: Running, count: int) -> None:
    """Return when so many wait."""
    await until(lambda: pod.runtime.status().pending == count, f"{count} wait")


@pytest.mark.parametrize("field", [{"priority": 10}, {"within_s": 0}, {"within_s": -1}, {"caller": "x" * 65}])
async def test_terms_are_bounded(tmp_path: Path, field: dict[str, object]) -> None:
    async with ready(tmp_path) as pod:
        assert (await pod.generate(**field)).status_code == 400


async def test_a_flood_makes_room_for_somebody_else_and_waits_for_itself(tmp_path: Path) -> None:
    async with ready(tmp_path, SLOW) as pod:
        flood = [asyncio.create_task(pod.generate(caller="flood"))]
        await until(lambda: pod.runtime.status().running == 1, "one runs")
        flood += [asyncio.create_task(pod.generate(caller="flood")) for _ in range(4)]
        await waiting(pod, 4)
        more = await pod.generate(caller="flood")
        quiet = asyncio.create_task(pod.generate(caller="quiet"))
        replies = [reply.json() for reply in await asyncio.gather(*flood)]
        queue_s = (await quiet).raise_for_status().json()["timings"]["queue_s"]
    assert (more.status_code, more.json()["code"]) == (429, "TooManyPending")
    refused = [reply for reply in replies if "code" in reply]
    assert [reply["code"] for reply in refused] == ["TooManyPending"]
    waits_s = sorted(reply["timings"]["queue_s"] for reply in replies if "code" not in reply)
    # The one that ran had come before; of the others none was before it.
    assert waits_s[0] < queue_s < waits_s[2]


async def test_what_cannot_be_made_in_time_is_refused_at_once_when_a_picture_was_measured(tmp_path: Path) -> None:
    async with ready(tmp_path, SLOW) as pod:
        (await pod.generate()).raise_for_status()
        running = asyncio.create_task(pod.generate())
        await until(lambda: pod.runtime.status().running == 1, "one runs")
        late = await pod.generate(within_s=0.9)
        assert not running.done()
        in_time = await pod.generate(within_s=60)
        await running
    assert (late.status_code, late.json()["code"], late.json()["retryable"]) == (503, "DeadlineTooSoon", True)
    assert in_time.status_code == 200
