"""A request's steps as they come: server-sent events (https://html.spec.whatwg.org/multipage/server-sent-events.html).

`step` events carry a `StepReport`; then comes one `done` with the `GenerateReply`, or one `error` with the
`ErrorReply`.
"""

import asyncio
import base64
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Final

import structlog
from fastapi.responses import StreamingResponse
from pydantic import BaseModel

from lorapool_api.wire.reply import ErrorCode, GenerateReply, StepReport
from lorapool_api.wire.request import ImageFormat
from lorapool_runtime.app.encode import encode
from lorapool_runtime.engine.contract import Step
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
    steps: asyncio.Queue[Step | None] = asyncio.Queue()
    task = asyncio.ensure_future(work(steps.put_nowait))
    task.add_done_callback(lambda _: steps.put_nowait(None))
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


async def _steps(steps: "asyncio.Queue[Step | None]") -> AsyncIterator[str]:
    while True:
        try:
            async with asyncio.timeout(_QUIET_S):
                step = await steps.get()
        except TimeoutError:
            yield ": waiting\n\n"
            continue
        if step is None:
            return
        preview = step.preview and base64.b64encode(encode(step.preview, ImageFormat.JPEG)).decode()
        yield _event("step", StepReport(number=step.number, of=step.of, preview=preview))


def _event(name: str, data: BaseModel) -> str:
    return f"event: {name}\ndata: {data.model_dump_json()}\n\n"
