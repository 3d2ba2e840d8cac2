"""Previews on their way to a client: made off the engine's thread, one at most at a time."""

import asyncio
import json
import threading
from collections.abc import Callable

from PIL import Image
from tests.runtime.pods import eventually

from lorapool_api.wire.reply import ErrorCode, GenerateReply
from lorapool_runtime.engine.contract import Preview, Step
from lorapool_runtime.errors import RequestError
from lorapool_runtime.http.events import PendingSteps, streamed


def picture() -> Image.Image:
    return Image.new("RGB", (8, 8))


async def test_the_newest_preview_takes_the_place_of_one_that_waits() -> None:
    steps = PendingSteps()
    for number in range(1, 4):
        steps.add(Step(number, 4, picture))
    steps.add(Step(4, 4))
    came = [await steps.next() for _ in range(4)]
    assert [(step.number, step.preview is not None) for step in came if step] == [
        (1, False),
        (2, False),
        (3, True),
        (4, False),
    ]


async def test_a_request_that_is_over_waits_for_no_preview() -> None:
    steps = PendingSteps()
    steps.add(Step(1, 2, picture))
    steps.end()
    assert await steps.next() == Step(1, 2)
    assert await steps.next() is None


async def told(*previews: Preview) -> list[str | None]:
    """The previews of the events, where each step comes when the one before it was told."""
    seen: list[str | None] = []

    async def work(on_step: Callable[[Step], None]) -> GenerateReply:
        for number, preview in enumerate(previews, start=1):
            on_step(Step(number, len(previews), preview))
            await eventually(lambda number=number: len(seen) == number)  # type: ignore[misc]
        raise RequestError(ErrorCode.TIMEOUT, "enough")

    async for event in streamed(work, lambda outcome, why: None).body_iterator:
        name, data = str(event).removeprefix("event: ").split("\n", 1)
        if name == "step":
            seen.append(json.loads(data.removeprefix("data: "))["preview"])
    return seen


async def test_a_preview_is_made_on_no_thread_that_others_wait_for() -> None:
    threads: list[int] = []

    def made() -> Image.Image:
        threads.append(threading.get_ident())
        return picture()

    async with asyncio.timeout(30):
        (shown,) = await told(made)
    assert shown
    assert threads != [threading.get_ident()]


async def test_a_preview_that_fails_costs_nothing_but_itself() -> None:
    def fails() -> Image.Image:
        raise RuntimeError("a device that says something")

    async with asyncio.timeout(30):
        first, second, third = await told(fails, lambda: None, picture)
    assert (first, second) == (None, None)
    assert third
