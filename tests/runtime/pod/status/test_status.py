"""What a pod says of itself to gateways."""

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path

import httpx
import pytest
from tests.runtime.pods import Running, config, entry, settings, started, write_adapter

from lorapool_api.wire.gateways.stream import MEDIA_TYPE, MOST_STREAMS, SLICE
from lorapool_api.wire.state import AdapterPhase, Backlog, ServingStatus, Tier
from lorapool_common.changes import Changes
from lorapool_runtime.http.status_stream import StatusStreams, is_same, sliced

FOLLOW = {"accept": MEDIA_TYPE}
IDLE = ServingStatus(
    instance="i", digest="d", ready=True, pending=0, running=0, max_pending=4, version=1, complete=False
)


@asynccontextmanager
async def lines_of(answer: httpx.Response) -> AsyncIterator[AsyncIterator[str]]:
    """The lines as they come; what reads them is ended."""
    lines = answer.aiter_lines()
    assert isinstance(lines, AsyncGenerator)
    async with aclosing(lines):
        yield lines


@pytest.fixture
async def pod(tmp_path: Path) -> AsyncIterator[Running]:
    """A warm pod with the adapter `one`."""
    root = tmp_path / "adapters"
    path = write_adapter(root, "one", seed=1)
    async with started(settings(tmp_path, config(root))) as running:
        await running.apply(entry(path))
        assert (await running.until("default/one")).phase is AdapterPhase.READY
        yield running


async def test_the_status_tells_what_work_takes_and_how_much_there_is(pod: Running) -> None:
    before = ServingStatus.model_validate((await pod.serving.get("/v1/status")).json())
    assert before.backlog is None
    for _ in range(2):
        (await pod.generate(adapters=[{"key": "default/one"}], steps=3)).raise_for_status()

    status = ServingStatus.model_validate((await pod.serving.get("/v1/status")).json())

    assert status.costs is not None
    assert status.backlog is not None
    assert status.costs.step_s.keys() == {"unmerged"}
    assert (status.backlog.work_s, status.backlog.active) == (0, ("default/one",))


async def test_a_stream_tells_what_changes_and_every_tick_that_nothing_does(pod: Running) -> None:
    async with pod.serving.stream("GET", "/v1/status", headers=FOLLOW) as answer:
        assert answer.headers["content-type"] == MEDIA_TYPE
        async with lines_of(answer) as lines:
            first = ServingStatus.model_validate_json(await anext(lines))
            assert (first.complete, list(first.tiers)) == (True, ["default/one"])
            while await anext(lines):
                continue  # what the pod brings near before anybody asks
            (await pod.generate(adapters=[{"key": "default/one"}])).raise_for_status()
            known = first
            while known.tiers != {"default/one": Tier.DEVICE}:
                if line := await anext(lines):
                    known = ServingStatus.model_validate_json(line).after(known)
            assert known.costs is not None


async def test_a_stream_goes_on_from_what_is_known(pod: Running) -> None:
    known = pod.runtime.status()
    query = {"since": str(known.version), "instance": known.instance}
    stream = pod.serving.stream("GET", "/v1/status", params=query, headers=FOLLOW)
    async with stream as answer, lines_of(answer) as lines:
        first = ServingStatus.model_validate_json(await anext(lines))
    assert (first.complete, first.tiers) == (False, {})


async def test_streams_are_bounded_in_number_and_end(pod: Running) -> None:
    now = 0.0
    streams = StatusStreams(pod.runtime, lambda: now, tick_s=0.001)
    made = [streams.answer(MEDIA_TYPE, None) for _ in range(MOST_STREAMS)]
    opened = [answer.body_iterator for answer in made]  # type: ignore[attr-defined]
    for lines in opened:
        await anext(lines)
    assert streams.answer(MEDIA_TYPE, None).media_type == "application/json"
    now = 1e6
    assert [line async for line in opened[0]] in ([], [b"\n"])
    assert streams.answer(MEDIA_TYPE, None).media_type == MEDIA_TYPE
    for lines in opened:
        await lines.aclose()


async def test_a_pod_that_stops_ends_its_streams(tmp_path: Path) -> None:
    async with started(settings(tmp_path, config(tmp_path))) as running:
        streams = StatusStreams(running.runtime, lambda: 0.0, tick_s=0.001)
        lines = streams.answer(MEDIA_TYPE, None).body_iterator  # type: ignore[attr-defined]
        await anext(lines)
    assert len([line async for line in lines]) <= 2


class CountedRuntime:
    """A pod where nothing changes but requests that come; how often it was asked what did."""

    is_over = False

    def __init__(self) -> None:
        self.asked = 0
        self.pending = 0
        self.queued = Changes()

    def status(self, since: int | None = None) -> ServingStatus:
        self.asked += 1
        return IDLE.model_copy(update={"pending": self.pending})

    def queue(self) -> None:
        """A request comes."""
        self.pending += 1
        self.queued.note()


async def test_streams_look_at_the_same_moments_and_what_changed_is_found_out_once() -> None:
    runtime = CountedRuntime()
    streams = StatusStreams(runtime, lambda: 0.0, tick_s=0.001)
    opened = [streams.answer(MEDIA_TYPE, None).body_iterator for _ in range(8)]  # type: ignore[attr-defined]
    for lines in opened:
        await anext(lines)
    assert runtime.asked == len(opened)
    for _ in range(5):
        assert await asyncio.gather(*(anext(lines) for lines in opened)) == [b"\n"] * len(opened)
    assert runtime.asked == len(opened) + 5
    for lines in opened:
        await lines.aclose()


async def pending_of(lines: AsyncIterator[bytes]) -> int:
    return ServingStatus.model_validate_json(await anext(lines)).pending


async def test_a_request_that_comes_after_a_tick_without_news_is_told_at_once_and_found_out_once() -> None:
    runtime = CountedRuntime()
    # A tick that none of this waits for.
    streams = StatusStreams(runtime, lambda: 0.0, tick_s=600.0)
    opened = [streams.answer(MEDIA_TYPE, None).body_iterator for _ in range(8)]  # type: ignore[attr-defined]
    for lines in opened:
        await anext(lines)
    runtime.queue()
    async with asyncio.timeout(20.0):
        assert await asyncio.gather(*map(pending_of, opened)) == [1] * len(opened)
    assert runtime.asked == len(opened) + 1
    for lines in opened:
        await lines.aclose()


async def test_requests_that_come_without_end_are_told_once_a_tick() -> None:
    runtime, tick_s = CountedRuntime(), 0.02
    lines = StatusStreams(runtime, time.monotonic, tick_s).answer(MEDIA_TYPE, None).body_iterator  # type: ignore[attr-defined]
    await anext(lines)
    began_s = time.monotonic()
    for number in range(10):
        runtime.queue()
        assert await pending_of(lines) == number + 1
    assert time.monotonic() - began_s > 8 * tick_s
    await lines.aclose()


async def test_a_pod_tells_of_a_request_when_it_comes_and_not_when_it_is_made(pod: Running) -> None:
    streams = StatusStreams(pod.runtime, lambda: 0.0, tick_s=600.0)
    lines = streams.answer(MEDIA_TYPE, None).body_iterator  # type: ignore[attr-defined]
    await anext(lines)
    asked = asyncio.create_task(pod.generate(adapters=[{"key": "default/one"}], steps=3))
    async with asyncio.timeout(20.0):
        told = ServingStatus.model_validate_json(await anext(lines))
    assert told.pending + told.running == 1
    (await asked).raise_for_status()
    await lines.aclose()


def test_work_that_goes_on_as_expected_is_no_news() -> None:
    def working(work_s: float, **known: object) -> ServingStatus:
        return IDLE.model_copy(update={"backlog": Backlog(work_s=work_s), **known})

    assert is_same(working(8.0), working(6.0), elapsed_s=2.0)
    assert is_same(working(1.0), working(0.0), elapsed_s=2.0)
    assert not is_same(working(8.0), working(6.2), elapsed_s=2.0)
    assert not is_same(working(8.0), working(8.0, pending=1), elapsed_s=0.0)
    assert not is_same(IDLE, working(8.0), elapsed_s=0.0)
    assert not is_same(IDLE, IDLE.model_copy(update={"tiers": {"a/b": Tier.HOST}}), elapsed_s=0.0)


def test_many_adapters_come_in_slices() -> None:
    tiers = {f"a/{number}": Tier.DISK for number in range(2 * SLICE + 1)}
    whole = IDLE.model_copy(update={"complete": True, "tiers": tiers})
    known: ServingStatus | None = None
    parts = [ServingStatus.model_validate_json(line) for line in sliced(whole)]
    for part in parts:
        known = part.after(known)
    assert [part.more for part in parts] == [True, True, False]
    assert known is not None
    assert known.tiers == tiers
