"""How urgent a request is and until when anybody wants it: from the header to the pod, as the key allows."""

import asyncio
from pathlib import Path

import httpx
import pytest
from tests import make
from tests.unit.gateway.fakes import FakePod, World, read

from lorapool_api.wire.reply import ErrorCode, ErrorReply
from lorapool_api.wire.state import Backlog, ServingStatus
from lorapool_gateway.callers.caller import ANYONE, Caller
from lorapool_gateway.callers.terms import DEADLINE, PRIORITY, Terms, terms_of
from lorapool_gateway.cluster.directory import ObjectKind
from lorapool_gateway.errors import BadRequest

URGENT = Caller("urgent", b"digest", max_priority=5, max_deadline_s=60)


@pytest.mark.parametrize(
    ("priority", "deadline", "expected"),
    [
        (None, None, (0, 60)),
        ("3", "10.5", (3, 10.5)),
        ("9", "600", (5, 60)),
    ],
)
def test_more_than_the_key_allows_is_cut(
    priority: str | None, deadline: str | None, expected: tuple[int, float]
) -> None:
    sent = {name: text for name, text in ((PRIORITY, priority), (DEADLINE, deadline)) if text is not None}
    found = terms_of(sent, URGENT)
    assert (found.priority, found.within_s) == expected
    assert len(found.caller) == 16
    assert found.caller != terms_of(sent, Caller("another", b"digest")).caller


def test_who_has_no_key_has_no_priority() -> None:
    assert terms_of({PRIORITY: "9", DEADLINE: "5"}, ANYONE) == Terms("", 0, 5)


@pytest.mark.parametrize("text", ["", "-1", "1.5", "10", "²", "1" * 5000])
def test_a_priority_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(BadRequest):
        terms_of({PRIORITY: text}, URGENT)


@pytest.mark.parametrize("text", ["", "0", "-1", "nan", "inf", "soon", "1e9", "٣", "1" * 5000])
def test_a_deadline_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(BadRequest):
        terms_of({DEADLINE: text}, URGENT)


@pytest.fixture
def world(tmp_path: Path) -> World:
    (tmp_path / "alice").write_text("{key: key-a, maxPriority: 2}")
    (tmp_path / "bob").write_text("key-b")
    made = World(keys=tmp_path)
    made.pool()
    return made


@pytest.fixture
def pod(world: World) -> FakePod:
    return world.pod()


async def ask(world: World, key: str, **headers: str) -> httpx.Response:
    async with world.client(**{"x-api-key": key}) as client:
        sent = {name.replace("_", "-"): text for name, text in headers.items()}
        return await client.post("/", content="a cat", headers=sent)


async def test_a_pod_is_told_the_terms_and_no_name(world: World, pod: FakePod) -> None:
    await ask(world, "key-a", x_lorapool_priority="7", x_lorapool_deadline="30")
    await ask(world, "key-b")
    first, second = pod.received
    assert (first.priority, second.priority) == (2, 0)
    assert first.within_s is not None
    assert 0 < first.within_s <= 30
    assert second.within_s is None
    assert "" != first.caller != second.caller != ""
    assert "alice" not in first.model_dump_json()


async def test_a_deadline_ends_a_request_that_a_pod_has(world: World, pod: FakePod) -> None:
    pod.hold = asyncio.Event()
    answer = await ask(world, "key-b", x_lorapool_deadline="0.05")
    assert answer.status_code == 504
    assert "x-lorapool-deadline" in answer.json()["error"]
    assert pod.was_cancelled.is_set()


async def test_a_deadline_ends_a_request_that_is_held(world: World) -> None:
    made = read(make.pool()) | {"status": {"lastColdStartSeconds": 33.4}}
    world.directory.put(ObjectKind.POOL, made)
    answer = await ask(world, "key-b", x_lorapool_deadline="0.05")
    assert answer.status_code == 503
    assert "no pod" in answer.json()["error"]
    assert answer.headers["retry-after"] == "34"


async def test_what_no_pod_would_make_in_time_is_a_503_that_says_when(world: World, pod: FakePod) -> None:
    status = pod.status.model_dump() | {"pending": 2, "running": 1, "backlog": Backlog(work_s=41)}
    world.loads.update(pod.pod, ServingStatus.model_validate(status))
    pod.troubles.extend(ErrorReply(code=ErrorCode.DEADLINE_TOO_SOON, message="late", retryable=True) for _ in range(9))
    answer = await ask(world, "key-b", x_lorapool_deadline="30")
    assert answer.status_code == 503
    assert 19 <= int(answer.headers["retry-after"]) <= 21
    assert len(pod.received) <= 4
    assert (await ask(world, "key-b", x_lorapool_deadline="bad")).status_code == 400


async def test_a_full_pool_says_when_half_of_what_waits_is_made(world: World, pod: FakePod) -> None:
    status = pod.status.model_dump() | {"pending": 4, "running": 1, "backlog": Backlog(work_s=41)}
    world.loads.update(pod.pod, ServingStatus.model_validate(status))
    answer = await ask(world, "key-b")
    assert answer.status_code == 429
    assert 19 <= int(answer.headers["retry-after"]) <= 21
    assert pod.received == []


async def test_a_full_pod_is_asked_for_a_key_that_has_less_under_way_than_others(world: World, pod: FakePod) -> None:
    """The pod knows whose requests it has, and which makes room."""
    pod.hold = asyncio.Event()
    flood = [asyncio.create_task(ask(world, "key-b")) for _ in range(3)]
    async with asyncio.timeout(10):
        while len(pod.received) < 3:  # noqa: ASYNC110 -- it has no event
            await asyncio.sleep(0)
    pod.pending = 4
    world.loads.update(pod.pod, pod.status)
    assert (await ask(world, "key-b")).status_code == 429
    assert len(pod.received) == 3
    modest = asyncio.create_task(ask(world, "key-a"))
    async with asyncio.timeout(10):
        while len(pod.received) < 4:  # noqa: ASYNC110 -- it has no event
            await asyncio.sleep(0)
    pod.hold.set()
    assert (await modest).status_code == 200
    assert [answer.status_code for answer in await asyncio.gather(*flood)] == [200] * 3
