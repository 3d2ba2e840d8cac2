"""POST /v1/generate: what a client wants back, in which form."""

from collections.abc import AsyncIterator, Callable
from functools import partial

from fastapi import Request, Response
from fastapi.responses import JSONResponse, StreamingResponse

from lorapool_api.wire import bundle
from lorapool_api.wire.headers import reply_headers, stages_of
from lorapool_api.wire.reply import GenerateReply
from lorapool_api.wire.request import GenerateRequest, ImageFormat
from lorapool_common.http.clients import ClientGone, unless_gone
from lorapool_runtime.app.images import EncodedReply, ImageGenerator
from lorapool_runtime.engine.contract import Step
from lorapool_runtime.errors import RequestError
from lorapool_runtime.http import body, events
from lorapool_runtime.http.accept import image_wanted
from lorapool_runtime.http.requests.records import CLIENT_GONE, OK, RequestRecord, RequestRecords
from lorapool_runtime.queue.entry import Admitted

# nginx's status for logs: the client has gone, and nobody reads it.
_CLIENT_CLOSED_REQUEST = 499
# With the pictures that came beside it.
Wanted = tuple[GenerateRequest, tuple[memoryview, ...]]


class GenerateRoute:
    """Answers requests for images."""

    def __init__(self, images: ImageGenerator, records: RequestRecords) -> None:
        self._images = images
        self._records = records

    async def answer(self, request: Request) -> Response:
        """The response; whatever its end, it is recorded. Raises: RequestError."""
        record = self._records.begin(request.headers)
        outcome: str | None = CLIENT_GONE
        why = ""
        accept = request.headers.get("accept", "")
        try:
            # Its pictures have some megabytes. Whoever decodes them takes the only reference out of the list.
            wanted = [await body.read_request(request)]
            if events.is_wanted(accept):
                format_ = wanted[0][0].format
                admitted = await self._images.admit(*wanted.pop())
                response: Response = events.streamed(partial(self._reply, format_, admitted, record), record.end)
                outcome = None  # recorded when the stream ends
                return response
            response = await unless_gone(request.receive, self._respond(accept, wanted, record))
            outcome = OK
        except ClientGone:
            return Response(status_code=_CLIENT_CLOSED_REQUEST)
        except RequestError as error:
            outcome, why = error.code.value, error.message
            raise
        finally:
            if outcome is not None:
                record.end(outcome, why)
        return response

    async def _reply(
        self,
        format_: ImageFormat,
        admitted: Admitted,
        record: RequestRecord,
        on_step: Callable[[Step], None],
    ) -> GenerateReply:
        reply = (await self._images.make(admitted, format_, on_step)).reply
        record.made(reply)
        return reply

    async def _respond(self, accept: str, wanted: list[Wanted], record: RequestRecord) -> Response:
        format_ = wanted[0][0].format
        is_bundle = accept.startswith(bundle.MEDIA_TYPE)
        image_format = None if is_bundle else image_wanted(accept, format_)
        admitted = await self._images.admit(*wanted.pop())
        in_json = image_format is None and not is_bundle
        made = await self._images.make(admitted, image_format or format_, in_json=in_json)
        record.made(made.reply)
        if is_bundle:
            return _bundled(made)
        if image_format is None:
            return JSONResponse(made.reply.model_dump(mode="json"))
        headers = reply_headers(made.reply, stages_of(made.reply.timings))
        return Response(made.images[0], media_type=image_format.media_type, headers=headers)


def _bundled(made: EncodedReply) -> Response:
    """The reply and its images as they are, sent one after the other."""
    parts = (bundle.head(made.reply, made.images), *made.images)

    async def pieces() -> AsyncIterator[bytes]:
        for part in parts:
            yield part

    length = {"content-length": str(sum(map(len, parts)))}
    return StreamingResponse(pieces(), media_type=bundle.MEDIA_TYPE, headers=length)
