"""POST /v1/generate: from a body to images, or to one clear sentence."""

import asyncio
import base64
import secrets
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace
from functools import partial

from fastapi import Request, Response
from fastapi.responses import JSONResponse, StreamingResponse

from lorapool_api import names
from lorapool_api.wire import bundle
from lorapool_api.wire.headers import reply_headers, stages_of
from lorapool_api.wire.reply import ErrorCode, GenerateReply, MadeImage, Timings, UsedAdapter
from lorapool_api.wire.request import GENERATE_MAX_BYTES, AdapterUse, GenerateRequest, ImageFormat
from lorapool_api.wire.state import BasePhase
from lorapool_common.http.clients import ClientGone, unless_gone
from lorapool_runtime.adapters.file import AdapterFile
from lorapool_runtime.app.encode import encode
from lorapool_runtime.app.recipe import complete
from lorapool_runtime.app.runtime import Runtime
from lorapool_runtime.engine.contract import RenderRequest, Step
from lorapool_runtime.errors import RequestError
from lorapool_runtime.http import body, events
from lorapool_runtime.http.accept import image_wanted
from lorapool_runtime.queue.entry import Outcome

# A seed that people can copy, and that every client's number type holds.
_RANDOM_SEEDS = 2**32
# nginx's status for logs: the client has gone, and nobody reads it.
_CLIENT_CLOSED_REQUEST = 499


@dataclass(frozen=True)
class EncodedReply:
    """Encoded images of a request, and all that there is to say of them."""

    images: tuple[bytes, ...]
    reply: GenerateReply

    @property
    def headers(self) -> dict[str, str]:
        return reply_headers(self.reply, stages_of(self.reply.timings))


class Generator:
    """Answers requests for images with one runtime."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._namespace, _ = names.split_full_name(runtime.config.pool)

    async def answer(self, request: Request) -> Response:
        """The response; whatever its end, its outcome is counted."""
        outcome: str | None = "ClientGone"
        try:
            # Its pictures have some megabytes of text. Whoever decodes them takes the only reference out of the list.
            wanted = [await body.read(request, GenerateRequest, GENERATE_MAX_BYTES)]
            if events.is_wanted(request.headers.get("accept", "")):
                format_ = wanted[0].format
                asked = await self._request(wanted.pop())
                response: Response = events.streamed(partial(self._reply, format_, asked), self._count)
                outcome = None  # counted when the stream ends
                return response
            response = await unless_gone(request.receive, self._respond(request.headers.get("accept", ""), wanted))
            outcome = "Ok"
        except ClientGone:
            return Response(status_code=_CLIENT_CLOSED_REQUEST)
        except RequestError as error:
            outcome = error.code.value
            raise
        finally:
            if outcome is not None:
                self._count(outcome)
        return response

    def _count(self, outcome: str) -> None:
        self._runtime.metrics.requests.labels(outcome).inc()

    async def _reply(
        self, format_: ImageFormat, asked: RenderRequest[AdapterFile], on_step: Callable[[Step], None]
    ) -> GenerateReply:
        outcome = await self._runtime.dispatcher.render(replace(asked, on_step=on_step))
        return (await self._encoded(asked, outcome, format_, want_json=True)).reply

    async def _respond(self, accept: str, wanted: list[GenerateRequest]) -> Response:
        format_ = wanted[0].format
        is_bundle = accept.startswith(bundle.MEDIA_TYPE)
        image_format = None if is_bundle else image_wanted(accept, format_)
        asked = await self._request(wanted.pop())
        outcome = await self._runtime.dispatcher.render(asked)
        want_json = image_format is None and not is_bundle
        made = await self._encoded(asked, outcome, image_format or format_, want_json=want_json)
        if is_bundle:
            return _bundled(made)
        if image_format is None:
            return JSONResponse(made.reply.model_dump(mode="json"))
        return Response(made.images[0], media_type=image_format.media_type, headers=made.headers)

    async def _request(self, wanted: GenerateRequest) -> RenderRequest[AdapterFile]:
        """What to make, with files that are ready. Raises: RequestError."""
        self._check_ready()
        self._runtime.dispatcher.check_room()
        stack = self._runtime.registry.take([self._full(use) for use in wanted.adapters])
        seed = secrets.randbelow(_RANDOM_SEEDS)
        # Pictures take their time to decode.
        recipe = await asyncio.to_thread(complete, wanted, self._runtime.config.serving, seed)
        return RenderRequest(recipe, stack, previews=wanted.previews)

    def _check_ready(self) -> None:
        state = self._runtime.base.state
        if self._runtime.health.failure is not None:
            raise RequestError(ErrorCode.NOT_READY, self._runtime.health.failure, retryable=True)
        if self._runtime.stopping:
            raise RequestError(ErrorCode.NOT_READY, "this pod is stopping", retryable=True)
        if state.phase is not BasePhase.WARM:
            message = f"the base model is {state.phase}: {state.message}"
            raise RequestError(ErrorCode.NOT_READY, message, reason=state.reason, retryable=True)

    def _full(self, use: AdapterUse) -> AdapterUse:
        """A bare name means an adapter of the pool's own namespace."""
        if "/" in use.key:
            return use
        return use.model_copy(update={"key": names.full_name(self._namespace, use.key)})

    async def _encoded(
        self, asked: RenderRequest[AdapterFile], outcome: Outcome, format_: ImageFormat, *, want_json: bool
    ) -> EncodedReply:
        rendering, recipe, stack = outcome.rendering, asked.recipe, asked.stack
        start = time.monotonic()
        images = tuple([await asyncio.to_thread(encode, image, format_) for image in rendering.images])
        timings = Timings(
            queue_s=outcome.queue_s,
            load_s=rendering.load_s,
            switch_s=rendering.switch_s,
            inference_s=rendering.inference_s,
            encode_s=time.monotonic() - start,
        )
        info = self._runtime.base.info
        reply = GenerateReply(
            images=tuple(
                MadeImage(data=base64.b64encode(data).decode() if want_json else "", seed=seed)
                for data, seed in zip(images, recipe.seeds, strict=True)
            ),
            format=format_,
            width=recipe.width,
            height=recipe.height,
            base=self._runtime.config.model.source.label,
            base_revision=info.revision if info else "",
            adapters=tuple(UsedAdapter(key=u.key, sha256=u.adapter.sha256, scale=u.scale) for u in stack),
            pod=self._runtime.settings.pod_name,
            timings=timings,
            warnings=rendering.warnings,
        )
        return EncodedReply(images, reply)


def _bundled(made: EncodedReply) -> Response:
    """The reply and its images as they are, sent one after the other."""
    parts = (bundle.head(made.reply, made.images), *made.images)

    async def pieces() -> AsyncIterator[bytes]:
        for part in parts:
            yield part

    length = {"content-length": str(sum(map(len, parts)))}
    return StreamingResponse(pieces(), media_type=bundle.MEDIA_TYPE, headers=length)
