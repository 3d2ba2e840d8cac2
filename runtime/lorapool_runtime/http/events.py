"""A request's steps as they come: server-sent events (https://html.spec.whatwg.org/multipage/server-sent-events.html).

`step` events carry a `StepReport`; then comes one `done` with the `GenerateReply`, or one `error` with the
`ErrorReply`.
"""

import asyncio
import base64
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from typing import Final

import structlog
from fastapi.responses import StreamingResponse
from pydantic import BaseModel

from lorapool_api.wire.reply import ErrorCode, GenerateReply, StepReport
from lorapool_api.wire.request import ImageFormat
from lorapool_runtime.app.encoded.encode import encode
from lorapool_runtime.engine.contract import Preview, Step
from lorapool_runtime.errors import RequestError
from lorapool_runtime.http.errors import body_of, defect
from lorapool_runtime.http.requests.records import CLIENT_GONE, OK

log = structlog.get_logger(__name__)

MEDIA_TYPE: Final = "text/event-stream"
# After so long without an event a comment is sent: proxies end idle connections.
_QUIET_S: Final = 15.0

Work = Callable[[Callable[[Step], None]], Awaitable[GenerateReply]]


def is_wanted(accept: str) -> bool:
    """Whether the client asks for events before anything else."""
    return accept.split(",")[0].partition(";")[0].strip().lower() == MEDIA_TYPE


def streamed(work: Work, on_end: Callable[[str, str], None]) -> StreamingResponse:
    """The response while the work goes on.

    Args:
        work: gets the function that hears of its steps.
        on_end: is told the outcome, and the sentence that the client got where it is an error.
    """
    return StreamingResponse(_events(work, on_end), media_type=MEDIA_TYPE, headers={"cache-control": "no-store"})


async def _events(work: Work, on_end: Callable[[str, str], None]) -> AsyncIterator[str]:
    steps = PendingSteps()
    task = asyncio.ensure_future(work(steps.add))
    task.add_done_callback(lambda _: steps.end())
    outcome, why = CLIENT_GONE, ""
    try:
        async for event in _steps(steps):
            yield event
        try:
            reply = await task
        except RequestError as error:
            outcome, why = error.code.value, error.message
            yield _event("error", body_of(error))
        except Exception as error:
            log.exception("a request met a defect")
            outcome = ErrorCode.INTERNAL.value
            yield _event("error", body_of(defect(error)))
        else:
            outcome = OK
            yield _event("done", reply)
    finally:
        task.cancel()
        on_end(outcome, why)


class PendingSteps:
    """Steps on their way to a client. Lives on the event loop.

    A preview is made when its turn comes. One at most waits for that: a newer one takes its place, and the end of the
    request that of the last one.
    """

    def __init__(self) -> None:
        self._steps: deque[Step] = deque()
        self._changed = asyncio.Event()
        self._is_over = False

    def add(self, step: Step) -> None:
        if step.preview is not None:
            self._drop_preview()
        self._steps.append(step)
        self._changed.set()

    def end(self) -> None:
        """No more will come."""
        self._drop_preview()
        self._is_over = True
        self._changed.set()

    async def next(self) -> Step | None:
        """The oldest; None after the last."""
        while not self._steps and not self._is_over:
            self._changed.clear()
            await self._changed.wait()
        return self._steps.popleft() if self._steps else None

    def _drop_preview(self) -> None:
        self._steps = deque(replace(step, preview=None) for step in self._steps)


async def _steps(steps: PendingSteps) -> AsyncIterator[str]:
    while True:
        try:
            async with asyncio.timeout(_QUIET_S):
                step = await steps.next()
        except TimeoutError:
            yield ": waiting\n\n"
            continue
        if step is None:
            return
        preview = None if step.preview is None else await asyncio.to_thread(_encoded, step.preview)
        yield _event("step", StepReport(number=step.number, of=step.of, preview=preview))


def _encoded(preview: Preview) -> str | None:
    """A JPEG in base64; None where there is none: the request goes on without."""
    try:
        made = preview()
        return None if made is None else base64.b64encode(encode(made, ImageFormat.JPEG)).decode()
    except Exception:
        log.exception("a preview failed; the picture goes on")
        return None


def _event(name: str, data: BaseModel) -> str:
    return f"event: {name}\ndata: {data.model_dump_json()}\n\n"
