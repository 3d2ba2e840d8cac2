"""Two checkers of one pool, and one that gives no verdict."""

import threading
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest
from aiohttp import web
from PIL import Image

from lorapool_api.kinds.checks.safety import Safety, WithoutVerdict
from lorapool_runtime.app.safety.checker import UNCHECKED, SafetyChecker
from lorapool_runtime.errors import RequestError

PICTURES = [Image.new("RGB", (8, 8)), Image.new("RGB", (8, 8), (255, 255, 255))]
ENCODED = [b"black", b"white"]


def white(images: Sequence[Image.Image]) -> list[bool]:
    """What takes white pictures for unfit."""
    return [image.getpixel((0, 0)) == (255, 255, 255) for image in images]


def none(images: Sequence[Image.Image]) -> list[bool]:
    return [False for _ in images]


def fails(images: Sequence[Image.Image]) -> list[bool]:
    raise RuntimeError("the device is full")


@asynccontextmanager
async def over_http(asked: list[bytes], *, safe: bool) -> AsyncIterator[str]:
    async def answer(request: web.Request) -> web.Response:
        asked.append(await request.read())
        return web.json_response({"safe": safe, "reason": "a weapon"})

    app = web.Application()
    app.router.add_post("/", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    yield f"{site.name}/"
    await runner.cleanup()


async def test_what_the_bases_own_refuses_is_sent_to_nobody() -> None:
    asked: list[bytes] = []
    counts: Counter[str] = Counter()
    async with over_http(asked, safe=True) as url:
        checker = SafetyChecker(Safety(pipeline=True, url=url), lambda name: counts.update([name]), white)
        with pytest.raises(RequestError, match="refused 1 of 2 pictures: not safe for work"):
            await checker.check(PICTURES, ENCODED, "image/png")
        assert (asked, counts) == ([], {"safe": 1, "refused": 1})
        assert await checker.check(PICTURES[:1], ENCODED[:1], "image/png") == ()
        checker.close()
    assert (asked, counts) == ([b"black"], {"safe": 3, "refused": 1})


async def test_what_it_lets_pass_the_other_may_refuse() -> None:
    async with over_http([], safe=False) as url:
        checker = SafetyChecker(Safety(pipeline=True, url=url), lambda _: None, none)
        with pytest.raises(RequestError, match="refused 2 of 2 pictures: a weapon"):
            await checker.check(PICTURES, ENCODED, "image/png")
        checker.close()


@pytest.mark.parametrize("without", WithoutVerdict)
async def test_where_it_cannot_look_the_pool_says_what_becomes_of_pictures(without: WithoutVerdict) -> None:
    counts: Counter[str] = Counter()
    safety = Safety(pipeline=True, without_verdict=without)
    checker = SafetyChecker(safety, lambda name: counts.update([name]), fails)
    if without is WithoutVerdict.ALLOW:
        assert await checker.check(PICTURES, ENCODED, "image/png") == (UNCHECKED,)
    else:
        with pytest.raises(RequestError) as refused:
            await checker.check(PICTURES, ENCODED, "image/png")
        assert (refused.value.code, refused.value.retryable) == ("NotChecked", True)
        assert "full" not in refused.value.message
    assert counts == {"failed": 2}
    checker.close()


async def test_one_that_takes_too_long_gave_no_verdict_and_holds_up_nobody_for_longer() -> None:
    free = threading.Event()

    def waits(images: Sequence[Image.Image]) -> list[bool]:
        free.wait()
        return none(images)

    checker = SafetyChecker(Safety(pipeline=True, timeout_seconds=1), lambda _: None, waits)
    with pytest.raises(RequestError, match="no verdict"):
        await checker.check(PICTURES, ENCODED, "image/png")
    free.set()
    assert await checker.check(PICTURES, ENCODED, "image/png") == ()
    checker.close()
