"""A pod's answer as it comes: steps, then the reply or an error, as server-sent events.

https://html.spec.whatwg.org/multipage/server-sent-events.html; what the events are says `StepReport`.
"""

from collections.abc import AsyncIterable, AsyncIterator, Callable
from typing import Final

from pydantic import ValidationError

from lorapool_api.wire.reply import ErrorReply, StepReport

MEDIA_TYPE: Final = "text/event-stream"
OnStep = Callable[[StepReport], None]
_END: Final = b"\n\n"
_DATA: Final = b"\ndata: "


class InvalidEvents(Exception):
    """They are too large, break off, or are none."""


class FailedAfterSteps(Exception):
    """The pod gave up on the request after it had begun to answer."""

    def __init__(self, reply: ErrorReply) -> None:
        super().__init__(reply.message)
        self.reply = reply


async def done_of(chunks: AsyncIterable[bytes], max_bytes: int, on_step: OnStep) -> bytes:
    """The reply in JSON; each step is told as it comes.

    Args:
        max_bytes: of all events together.

    Raises:
        FailedAfterSteps, InvalidEvents
    """
    async for event in _events(chunks, max_bytes):
        head, mark, data = event.partition(_DATA)
        if not mark:
            continue  # a comment, sent while nothing happens
        try:
            match head.removeprefix(b"event: "):
                case b"step":
                    on_step(StepReport.model_validate_json(data))
                case b"error":
                    raise FailedAfterSteps(ErrorReply.model_validate_json(data))
                case b"done":
                    return data
        except ValidationError as error:
            raise InvalidEvents(str(error)) from error
    raise InvalidEvents("the events end before the reply")


async def _events(chunks: AsyncIterable[bytes], max_bytes: int) -> AsyncIterator[bytes]:
    buffer, seen, size = bytearray(), 0, 0
    async for chunk in chunks:
        size += len(chunk)
        if size > max_bytes:
            raise InvalidEvents(f"the events have more than {max_bytes} bytes")
        buffer += chunk
        while (end := buffer.find(_END, max(0, seen - 1))) >= 0:
            event = bytes(buffer[:end])
            del buffer[: end + len(_END)]
            seen = 0
            yield event
        seen = len(buffer)
