"""Answers that begin before the images are there: server-sent events, one for each step that shows something."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Final, Protocol

from fastapi import Response
from fastapi.responses import StreamingResponse

from lorapool_api.wire.reply import StepReport
from lorapool_gateway.errors import GatewayError
from lorapool_gateway.http.fields.json_images import JsonWithImages
from lorapool_gateway.pods.events import OnStep
from lorapool_gateway.pods.images import Image

MEDIA_TYPE: Final = "text/event-stream"
# After so long without an event a comment is sent: proxies end idle connections.
QUIET_S: Final = 15.0
_ERROR: Final = 400


class Events(Protocol):
    """A dialect's words for what happens."""

    @property
    def are_wanted(self) -> bool:
        """Whether the client wants them; known when the request has been read."""

    def step(self, step: StepReport) -> bytes | None:
        """The event of a step; None where it is none."""

    def done(self) -> tuple[JsonWithImages, ...]:
        """The last events: the images are there."""

    def failed(self, error: GatewayError | None) -> bytes:
        """The event of an error after the answer has begun; None: a defect of ours."""


def event(name: str, data: bytes) -> bytes:
    """An event with its data in one line."""
    return b"event: %s\ndata: %s\n\n" % (name.encode(), data)


def event_with_images(name: str, data: JsonWithImages) -> JsonWithImages:
    """The same around images that are not one text with the rest."""
    parts: tuple[bytes | Image, ...] = (f"event: {name}\ndata: ".encode(), *data.parts, b"\n\n")
    return JsonWithImages(parts)


async def streamed(work: Callable[[OnStep], Awaitable[Response]], events: Events) -> Response:
    """The answer to a request whose client may want events.

    Until the first event an error is an answer with its status, as without a stream.

    Args:
        work: makes the images and tells the steps; its response is sent where no events are wanted.

    Raises:
        GatewayError
    """
    steps: asyncio.Queue[StepReport | None] = asyncio.Queue()
    task = asyncio.ensure_future(work(steps.put_nowait))
    task.add_done_callback(lambda _: steps.put_nowait(None))
    try:
        first = await _first(steps, events)
        if first is None:
            response = await task
            if not events.are_wanted or response.status_code >= _ERROR:
                return response
    except BaseException:
        task.cancel()
        # The task keeps its error, the error this frame, and this frame the task: what the request had in its frames,
        # its body among it, would stay until the garbage collector comes.
        del task
        raise
    return StreamingResponse(_pieces(first, steps, task, events), 200, {"cache-control": "no-store"}, MEDIA_TYPE)


async def _first(steps: "asyncio.Queue[StepReport | None]", events: Events) -> bytes | None:
    """The first event; None where all is over without one."""
    while (step := await steps.get()) is not None:
        shown = events.step(step)
        if shown is not None:
            return shown
    return None


async def _pieces(
    first: bytes | None,
    steps: "asyncio.Queue[StepReport | None]",
    task: "asyncio.Future[Response]",
    events: Events,
) -> AsyncIterator[bytes]:
    try:
        if first is not None:
            yield first
            async for shown in _steps(steps, events):
                yield shown
        try:
            await task
        except GatewayError as error:
            yield events.failed(error)
            return
        except Exception:
            yield events.failed(None)
            raise
        for last in events.done():
            async for piece in last.pieces():
                yield piece
    finally:
        task.cancel()


async def _steps(steps: "asyncio.Queue[StepReport | None]", events: Events) -> AsyncIterator[bytes]:
    while True:
        try:
            async with asyncio.timeout(QUIET_S):
                step = await steps.get()
        except TimeoutError:
            yield b": waiting\n\n"
            continue
        if step is None:
            return
        shown = events.step(step)
        if shown is not None:
            yield shown
