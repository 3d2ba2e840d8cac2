"""A pool with a checker: a pod asks it about each picture, and what it refuses leaves no pod."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from tests.runtime.pods import Running, config, eventually, settings, started

from lorapool_api.kinds.serving import Serving
from lorapool_api.wire.reply import ErrorReply, GenerateReply

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
DEFAULTS = {"width": 64, "height": 64, "steps": 2}


@dataclass
class Checker:
    """An HTTP server that answers about pictures as the test wants it."""

    url: str = ""
    says: Any = field(default_factory=lambda: {"safe": True})
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    looked_at: list[tuple[str, bytes]] = field(default_factory=list)
    hold: asyncio.Event | None = None

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.looked_at.append((request.content_type, await request.read()))
        if self.hold is not None:
            await self.hold.wait()
        body = self.says if isinstance(self.says, bytes) else json.dumps(self.says).encode()
        return web.Response(body=body, status=self.status, headers=self.headers)


@pytest.fixture
async def checker() -> AsyncIterator[Checker]:
    made = Checker()
    app = web.Application(client_max_size=1 << 24)
    app.router.add_post("/check", made.answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    made.url = f"{site.name}/check"
    yield made
    await runner.cleanup()


@asynccontextmanager
async def pod(folder: Path, **safety: Any) -> AsyncIterator[Running]:
    """A warm pod of a pool with that checker."""
    serving = Serving.model_validate({"defaults": DEFAULTS, "safety": safety})
    async with started(settings(folder, config(folder, serving=serving))) as running:
        await running.apply()
        await eventually(lambda: running.runtime.not_ready is None)
        yield running


async def refusal(running: Running, **asked: Any) -> tuple[int, ErrorReply]:
    reply = await running.generate(**asked)
    return reply.status_code, ErrorReply.model_validate(reply.json())


async def checks(running: Running) -> dict[str, float]:
    lines = (await running.serving.get("/metrics")).text.splitlines()
    rows = [line.split() for line in lines if line.startswith("lorapool_runtime_checks_total{")]
    return {name.partition('outcome="')[2].partition('"')[0]: float(value) for name, value in rows}


async def test_a_checker_sees_each_picture_as_it_leaves(tmp_path: Path, checker: Checker) -> None:
    async with pod(tmp_path, url=checker.url) as running:
        reply = (await running.generate(images=2, format="webp")).raise_for_status()
        assert await checks(running) == {"safe": 2.0}
    made = GenerateReply.model_validate(reply.json())
    sent = {("image/webp", base64.b64decode(image.data)) for image in made.images}
    assert set(checker.looked_at) == sent
    assert made.warnings == ()


async def test_what_it_refuses_leaves_no_pod_and_nothing_of_the_request_does(tmp_path: Path, checker: Checker) -> None:
    checker.says = {"safe": False, "reason": "a weapon", "score": 0.9}
    async with pod(tmp_path, url=checker.url) as running:
        status, error = await refusal(running, images=2)
        assert await checks(running) == {"refused": 2.0}
    assert (status, error.code, error.retryable) == (422, "ContentRefused", False)
    assert error.message == "the pool's checker refused 2 of 2 pictures: a weapon"


@pytest.mark.parametrize(
    ("says", "status", "headers"),
    [
        ({"safe": True}, 500, {}),
        ({"safe": True}, 302, {"location": "/check"}),
        ({"safe": "true"}, 200, {}),
        ({"ok": True}, 200, {}),
        ([], 200, {}),
        (b"\xff", 200, {}),
        (b'{"safe": true, "reason": "' + b"a" * (1 << 17) + b'"}', 200, {}),
        (b"\x1f\x8b" + bytes(100), 200, {"content-encoding": "gzip"}),
    ],
    ids=["500", "redirect", "text", "no verdict", "list", "no JSON", "long", "packed"],
)
async def test_without_a_verdict_nothing_leaves(
    tmp_path: Path, checker: Checker, says: Any, status: int, headers: dict[str, str]
) -> None:
    checker.says, checker.status, checker.headers = says, status, headers
    async with pod(tmp_path, url=checker.url) as running:
        answered, error = await refusal(running)
        assert await checks(running) == {"failed": 1.0}
    assert (answered, error.code, error.retryable) == (503, "NotChecked", True)
    assert len(checker.looked_at) == 1


async def test_a_checker_that_takes_too_long_gave_no_verdict(tmp_path: Path, checker: Checker) -> None:
    checker.hold = asyncio.Event()
    async with pod(tmp_path, url=checker.url, timeoutSeconds=1) as running:
        assert (await refusal(running))[1].code == "NotChecked"


async def test_a_checker_that_is_away_is_none_and_its_address_is_no_clients_business(tmp_path: Path) -> None:
    async with pod(tmp_path, url="http://127.0.0.1:1/secret") as running:
        _, error = await refusal(running)
    assert error.code == "NotChecked"
    assert "secret" not in error.message


async def test_a_pool_may_let_pictures_leave_without_a_verdict_but_none_that_was_refused(
    tmp_path: Path, checker: Checker
) -> None:
    checker.status = 500
    async with pod(tmp_path, url=checker.url, withoutVerdict="Allow") as running:
        made = GenerateReply.model_validate((await running.generate()).raise_for_status().json())
        assert "no verdict" in made.warnings[0]
        checker.status, checker.says = 200, {"safe": False}
        assert (await refusal(running))[0] == 422


async def test_nothing_of_a_picture_is_shown_before_it_is_checked(tmp_path: Path, checker: Checker) -> None:
    checker.says = {"safe": False}
    asked = {"prompt": "a circle", "previews": 2}
    async with pod(tmp_path, url=checker.url) as running:
        events = {"accept": "text/event-stream"}
        reply = await running.serving.post("/v1/generate", json=asked, headers=events)
    steps = [json.loads(line[6:]) for line in reply.text.splitlines() if line.startswith('data: {"number"')]
    assert len(steps) == DEFAULTS["steps"]
    assert [step["preview"] for step in steps] == [None] * len(steps)
    assert '"code":"ContentRefused"' in reply.text
