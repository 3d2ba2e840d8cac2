"""What a broken or hostile pod says reaches nobody else."""

import asyncio
import gzip
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web
from tests import make
from tests.unit.operator import make as made
from tests.unit.operator.test_worker import until

from lorapool_api.kinds.conditions import Reason
from lorapool_api.wire.catalog import Catalog
from lorapool_api.wire.state import AdapterPhase, AdapterState, BasePhase, BaseReport, BaseState, PodState
from lorapool_operator.pods.control import Control, ControlError, TokenRefused, state_limit
from lorapool_operator.pods.links import PodLinks
from lorapool_operator.pods.report import MAX_STRANGERS, ReportLog

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@asynccontextmanager
async def pod(handler: Handler) -> AsyncIterator[Control]:
    """A control port that answers every request like this, and what calls it."""
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handler)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    control = Control(runner.addresses[0][1])
    try:
        yield control
    finally:
        await control.close()
        await runner.cleanup()


def state(version: int = 1, revision: str = "rev", **adapters: Any) -> dict[str, Any]:
    said = {f"default/{name}": {"phase": "ready", "generation": 1} | fields for name, fields in adapters.items()}
    base = {"phase": "warm", "revision": revision}
    return {"instance": "i", "version": version, "digest": "d", "complete": True, "base": base, "adapters": said}


async def test_an_answer_is_not_read_beyond_its_limit() -> None:
    sent = 0

    async def endless(request: web.Request) -> web.StreamResponse:
        nonlocal sent
        response = web.StreamResponse()
        await response.prepare(request)
        while True:
            await response.write(b" " * 65536)
            sent += 65536

    async with pod(endless) as control:
        with pytest.raises(ControlError, match="larger than 1000000 bytes"):
            await control.state("127.0.0.1", "t", 0, None, 1_000_000)
    assert sent < 20_000_000  # what sockets hold on the way is not counted


async def test_nothing_is_unpacked() -> None:
    """A megabyte on the wire was hundreds in memory."""
    asked: list[str] = []

    async def packed(request: web.Request) -> web.StreamResponse:
        asked.append(request.headers.get("Accept-Encoding", ""))
        body = gzip.compress(json.dumps(state()).encode())
        return web.Response(body=body, headers={"Content-Encoding": "gzip"})

    async with pod(packed) as control:
        with pytest.raises(ControlError, match="no PodState"):
            await control.state("127.0.0.1", "t", 0, None)
    assert asked == ["identity"]


async def test_a_pod_that_sends_the_operator_elsewhere_is_not_followed() -> None:
    paths: list[str] = []

    async def elsewhere(request: web.Request) -> web.StreamResponse:
        paths.append(request.path)
        raise web.HTTPFound("/metadata")

    async with pod(elsewhere) as control:
        with pytest.raises(ControlError):
            await control.state("127.0.0.1", "t", 0, None)
    assert paths == ["/v1/state"]


async def test_a_pod_that_knows_another_token_is_told_apart() -> None:
    async def unauthorized(request: web.Request) -> web.StreamResponse:
        return web.json_response({"code": "Unauthorized", "message": "no"}, status=401)

    async with pod(unauthorized) as control:
        with pytest.raises(TokenRefused):
            await control.state("127.0.0.1", "t", 0, None)


def test_a_small_pool_listens_to_less_than_a_large_one() -> None:
    assert state_limit(0) < state_limit(1000) < state_limit(1_000_000) == 16 << 20
    # A thousand adapters that all failed with the longest of messages still fit.
    failed = AdapterState(phase=AdapterPhase.FAILED, reason=Reason.INTERNAL_ERROR, message="x" * 1000)
    said = PodState(
        instance="i",
        version=1,
        digest="d",
        base=BaseState(phase=BasePhase.WARM),
        complete=True,
        adapters={f"default/adapter-{n}": failed for n in range(1000)},
    )
    assert len(said.model_dump_json()) < state_limit(1000)


def test_adapters_that_nobody_asked_for_do_not_pile_up() -> None:
    log = ReportLog()
    log.expect(frozenset({"default/pixel"}))
    for round_ in range(5):
        names: dict[str, Any] = {f"stranger-{round_}-{n}": {} for n in range(1000)}
        answer = PodState.model_validate(state(round_ + 1, "rev", **names) | {"complete": False})
        log.apply(answer)
    log.apply(PodState.model_validate(state(9, pixel={}) | {"complete": False}))

    assert len(log.adapters) <= MAX_STRANGERS + 2
    assert log.adapters["default/pixel"].phase is AdapterPhase.READY


def test_what_there_was_no_room_for_is_asked_for_again_when_it_is_wanted() -> None:
    log = ReportLog()
    names: dict[str, Any] = {f"a{n}": {} for n in range(MAX_STRANGERS + 10)}
    log.apply(PodState.model_validate(state(3, "rev", **names)))
    log.since = 3

    log.expect(frozenset(f"default/{name}" for name in names))

    assert log.since == 0


def test_what_a_pass_has_seen_stays_as_it_was() -> None:
    log = ReportLog()
    log.apply(PodState.model_validate(state(1, pixel={})))
    before = log.report()

    log.apply(PodState.model_validate(state(2, pixel={"phase": "failed"}, other={})))

    assert before.adapters["default/pixel"].phase is AdapterPhase.READY
    assert "default/other" not in before.adapters
    assert log.report().adapters["default/pixel"].phase is AdapterPhase.FAILED


def test_a_pod_that_says_what_nobody_foresaw_of_one_adapter_takes_no_status_from_the_others() -> None:
    odd = AdapterState.model_construct(
        phase=AdapterPhase.FAILED,
        tier="remote",
        generation=1,
        reason="two words",
        message="x" * 40_000,
        facts=None,
    )
    bad, good = make.adapter("bad"), make.adapter("good")
    seen = made.seen(bad, good, pool=made.pool(), reports={"p-1": made.report(bad=odd, good=made.state())})

    statuses = made.statuses(seen)

    assert statuses["default/good"].summary == Reason.SERVED
    assert statuses["default/bad"].summary == Reason.INTERNAL_ERROR


async def test_bases_that_no_pod_holds_any_more_are_forgotten() -> None:
    version = 0

    async def restless(request: web.Request) -> web.StreamResponse:
        nonlocal version
        if request.path == "/v1/base":
            return web.json_response(BaseReport(revision=f"rev-{version}", modules={}).model_dump())
        version += 1
        return web.json_response(state(version, f"rev-{version}"))

    async with pod(restless) as control:
        pods = PodLinks(control, asyncio.Semaphore(8), lambda: None)
        pods.follow([made.pod(ip="127.0.0.1")], "t")
        pods.distribute(Catalog.of(()), 0)
        await until(lambda: version >= 10)
        assert len(pods.bases) <= 2
        pods.close()


async def test_a_pod_that_brings_a_defect_to_light_is_listened_to_again(monkeypatch: pytest.MonkeyPatch) -> None:
    apply, heard = ReportLog.apply, 0

    def stumble_once(log: ReportLog, said: PodState) -> bool:
        nonlocal heard
        heard += 1
        if heard == 1:
            raise KeyError("what nobody foresaw")
        return apply(log, said)

    monkeypatch.setattr(ReportLog, "apply", stumble_once)

    async def calm(request: web.Request) -> web.StreamResponse:
        return web.json_response(state())

    async with pod(calm) as control:
        pods = PodLinks(control, asyncio.Semaphore(8), lambda: None)
        pods.follow([made.pod(ip="127.0.0.1")], "t")
        pods.distribute(Catalog.of(()), 0)
        await until(lambda: pods.reports()["default/p-1"].is_warm)
        pods.close()
