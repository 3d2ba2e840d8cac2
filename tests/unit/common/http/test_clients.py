"""Work that ends when its client goes."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from lorapool_common.http.clients import ClientGone, unless, unless_gone


def connection(gone: asyncio.Event) -> Callable[[], Awaitable[dict[str, Any]]]:
    """Of a client that has sent the rest of its body and goes when the event is set."""
    messages = iter([{"type": "http.request", "body": b""}])

    async def receive() -> dict[str, Any]:
        if (message := next(messages, None)) is not None:
            return message
        await gone.wait()
        return {"type": "http.disconnect"}

    return receive


async def test_the_result_comes_while_the_client_waits() -> None:
    async def work() -> str:
        return "done"

    assert await unless_gone(connection(asyncio.Event()), work()) == "done"


async def test_what_the_work_raises_is_raised() -> None:
    async def work() -> None:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        await unless_gone(connection(asyncio.Event()), work())


async def test_the_work_has_been_cancelled_when_the_client_has_gone() -> None:
    gone, ended = asyncio.Event(), asyncio.Event()

    async def work() -> None:
        gone.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    with pytest.raises(ClientGone):
        await unless_gone(connection(gone), work())
    assert ended.is_set()


async def test_who_is_cancelled_meanwhile_cancels_the_work_and_is_not_told_that_the_client_has_gone() -> None:
    begun, ended = asyncio.Event(), asyncio.Event()

    async def work() -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    waiting = asyncio.create_task(unless_gone(connection(asyncio.Event()), work()))
    await begun.wait()
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert ended.is_set()


async def test_who_is_told_that_the_client_has_gone_is_not_cancelled_any_more() -> None:
    gone = asyncio.Event()
    gone.set()
    with pytest.raises(ClientGone):
        await unless_gone(connection(gone), asyncio.Event().wait())
    current = asyncio.current_task()
    assert current is not None
    assert current.cancelling() == 0
    await asyncio.sleep(0)


async def test_a_result_that_is_there_when_the_client_goes_is_the_result() -> None:
    async def work() -> str:
        gone.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            return "done"
        raise AssertionError

    gone = asyncio.Event()
    assert await unless_gone(connection(gone), work()) == "done"
    current = asyncio.current_task()
    assert current is not None
    assert current.cancelling() == 0


async def test_who_is_cancelled_as_the_client_goes_is_cancelled() -> None:
    begun, gone = asyncio.Event(), asyncio.Event()

    async def work() -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            waiting.cancel()

    waiting = asyncio.create_task(unless_gone(connection(gone), work()))
    await begun.wait()
    gone.set()
    with pytest.raises(asyncio.CancelledError):
        await waiting


@pytest.mark.parametrize("is_interrupted", [False, True])
async def test_of_two_ends_the_one_that_came_is_told(is_interrupted: bool) -> None:
    gone, interrupted = asyncio.Event(), asyncio.Event()

    async def work() -> None:
        (interrupted if is_interrupted else gone).set()
        await asyncio.Event().wait()

    with pytest.raises(InterruptedError if is_interrupted else ClientGone):
        await unless_gone(connection(gone), unless(interrupted.wait(), work(), InterruptedError))


async def test_of_two_ends_that_come_at_once_one_is_told() -> None:
    gone, interrupted = asyncio.Event(), asyncio.Event()

    async def work() -> None:
        gone.set()
        interrupted.set()
        await asyncio.Event().wait()

    with pytest.raises((ClientGone, InterruptedError)):
        await unless_gone(connection(gone), unless(interrupted.wait(), work(), InterruptedError))
    current = asyncio.current_task()
    assert current is not None
    assert current.cancelling() == 0
