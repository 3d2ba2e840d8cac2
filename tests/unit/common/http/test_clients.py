"""Work that ends when its client goes."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from lorapool_common.http.clients import ClientGone, unless_gone


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
