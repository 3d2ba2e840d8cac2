"""What the gateway asks of pods over HTTP: answers are bounded and never compressed, and what goes wrong is typed."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from functools import partial
from typing import Final, Self

import aiohttp
from pydantic import ValidationError
from yarl import URL

from lorapool_api.wire import bundle
from lorapool_api.wire.gateways import stream
from lorapool_api.wire.reply import ErrorReply, GenerateReply
from lorapool_api.wire.request import GenerateRequest
from lorapool_api.wire.state import ServingStatus
from lorapool_common.http.bodies import TooLarge, gathered
from lorapool_common.http.request_ids import request_id_headers
from lorapool_common.observe.tracing import NO_TRACING, Tracing
from lorapool_common.signed.calls import Signs
from lorapool_common.signed.headers import signature, signature_by_sha256
from lorapool_gateway.cluster.snapshot import RuntimePod
from lorapool_gateway.pods import answers, events
from lorapool_gateway.pods.errors import ConnectionLost, InvalidReply, RequestRefused, Unreachable
from lorapool_gateway.pods.events import FailedAfterSteps, InvalidEvents, OnStep
from lorapool_gateway.pods.exchange.answer import HttpAnswer
from lorapool_gateway.pods.exchange.connection import PodConnection
from lorapool_gateway.pods.exchange.connections import CONNECT_TIMEOUT_S, PodConnections
from lorapool_gateway.pods.exchange.head import post_head
from lorapool_gateway.pods.images import Image
from lorapool_gateway.pods.passing import PASSED_BYTES, STALL_S, ComingImage, begun, chunks_of, exactly
from lorapool_gateway.pods.payload import Payload, payload
from lorapool_gateway.pods.status_lines import InvalidLines, statuses
from lorapool_gateway.spool.pictures import StoredPictures

STATUS_TIMEOUT_S: Final = 2.0
# However much a pool allows.
IMAGES_MAX_BYTES: Final = 256 << 20
_ERROR_MAX_BYTES: Final = 1 << 20
# A pod that has closed an idle connection says so within a round trip. One that dies of a request takes longer.
STALE_S: Final = 0.25
_OK: Final = 200
_GENERATE: Final = "/v1/generate"
# Pods of an older version answer in JSON.
_ACCEPT: Final = f"{bundle.MEDIA_TYPE}, application/json;q=0.9"
_FIELD_BYTES: Final = 32 << 10


PodAnswer = tuple[GenerateReply, tuple[Image, ...] | ComingImage]


class _Stale(ConnectionLost):
    """The pod had closed the connection while it idled."""


class PodClient:
    """A client of all pods. Its cost for a request does not depend on how many others are in flight."""

    def __init__(
        self,
        stale_s: float = STALE_S,
        tracing: Tracing = NO_TRACING,
        signer: Signs | None = None,
        stored: StoredPictures | None = None,
        stall_s: float = STALL_S,
    ) -> None:
        """
        Args:
            stall_s: how long a pod may send nothing of an image that it has begun to send.
            stale_s: how soon a pod that has closed a kept connection says so.
            signer: of this installation's gateways; None: requests are not signed.
            stored: pictures of requests that lie in files.
        """
        self._stored = stored or StoredPictures()
        self._stale_s = stale_s
        self._stall_s = stall_s
        self._tracing = tracing
        self._signer = signer
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        self._connections = PodConnections()
        self._stack.callback(self._connections.close)
        self._following = await self._stack.enter_async_context(_session())
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def follow(
        self, pod: RuntimePod, known: ServingStatus | None = None
    ) -> AsyncGenerator[ServingStatus | None, None]:
        """What the pod says of itself: what changed since what is known, and then each time that it changes.

        None: nothing has, which it says every tick. A pod of an earlier version says it once. Raises: PodError.
        """
        params = {"since": str(known.version), "instance": known.instance} if known and known.version else {}
        url = URL(f"{pod.url}/v1/status").with_query(params)
        headers = {"accept": f"{stream.MEDIA_TYPE}, application/json;q=0.9"}
        headers |= signature(self._signer, "GET", url)
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_TIMEOUT_S, sock_read=STATUS_TIMEOUT_S)
        try:
            async with self._following.get(url, headers=headers, timeout=timeout, allow_redirects=False) as answer:
                if answer.status != _OK:
                    raise _refusal(answer.status, await gathered(chunks_of(answer.content), _ERROR_MAX_BYTES))
                async for status in statuses(chunks_of(answer.content), known):
                    yield status
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
            raise Unreachable(str(error)) from error
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise ConnectionLost(str(error)) from error
        except (InvalidLines, TooLarge) as error:
            raise InvalidReply(str(error)) from error

    async def generate(
        self,
        pod: RuntimePod,
        request: GenerateRequest,
        max_bytes: int,
        on_step: OnStep | None = None,
        *,
        reads_pictures: bool = False,
        passes_on: bool = False,
    ) -> PodAnswer:
        """The pod's reply without its images, and those. Raises: PodError.

        Args:
            max_bytes: of the answer; never more than `IMAGES_MAX_BYTES`.
            on_step: is told each step as it is done.
            reads_pictures: whether the pod reads pictures that are not in base64.
            passes_on: whether an image may still be on its way when this returns; never with `on_step`.
        """
        sent = payload(request, self._stored, reads_pictures=reads_pictures)
        headers = {
            "content-type": sent.media_type,
            "accept": events.MEDIA_TYPE if on_step else _ACCEPT,
            "content-length": str(sent.size_bytes),
            **request_id_headers(),
            **self._tracing.headers(),
        }
        place = (pod.ip, pod.port)
        read = partial(
            _made, limit=min(max_bytes, IMAGES_MAX_BYTES), on_step=on_step, stall_s=self._stall_s if passes_on else None
        )
        if (kept := self._connections.kept(place)) is not None:
            try:
                return await self._ask(kept, pod, sent, headers, read, is_kept=True)
            except _Stale:
                pass
        try:
            connection = await self._connections.made(place)
        except OSError as error:
            raise Unreachable(str(error)) from error
        return await self._ask(connection, pod, sent, headers, read)

    async def _ask(
        self,
        connection: PodConnection,
        pod: RuntimePod,
        body: Payload,
        headers: Mapping[str, str],
        read: Callable[[HttpAnswer], Awaitable[PodAnswer]],
        *,
        is_kept: bool = False,
    ) -> PodAnswer:
        """Each try is signed anew: a pod takes a signature once."""
        loop = asyncio.get_running_loop()
        began, is_coming = loop.time(), False
        answer: HttpAnswer | None = None
        try:
            if self._signer is not None:
                url = URL(f"{pod.url}{_GENERATE}")
                headers = {**headers, **signature_by_sha256(self._signer, "POST", url, await body.sha256())}
            head = post_head(pod.url.removeprefix("http://"), _GENERATE, headers)
            answer = await connection.ask(head, body.data())
            made = await read(answer)
            is_coming = isinstance(made[1], ComingImage)
        except OSError as error:
            is_stale = is_kept and answer is None and loop.time() - began < self._stale_s
            raise (_Stale if is_stale else ConnectionLost)(str(error)) from error
        else:
            return made
        finally:
            if answer is None:
                connection.abort()
            elif not is_coming:
                answer.release()


def _session() -> aiohttp.ClientSession:
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0),
        # A pod's answer has no other encoding, so that its size is bounded by what is read.
        headers={"accept-encoding": "identity"},
        auto_decompress=False,
        cookie_jar=aiohttp.DummyCookieJar(),
        max_line_size=_FIELD_BYTES,
        max_field_size=_FIELD_BYTES,
    )


async def _made(answer: HttpAnswer, limit: int, on_step: OnStep | None, stall_s: float | None) -> PodAnswer:
    """What the pod made; an image may be on its way where `stall_s` says how long nothing of it may come.

    Raises:
        InvalidReply, RequestRefused, ConnectionLost
    """
    if answer.status != _OK:
        raise _refusal(answer.status, await _read(answer, _ERROR_MAX_BYTES, None))
    is_bundle = answer.content_type == bundle.MEDIA_TYPE
    try:
        if is_bundle and answer.length is not None and answer.length <= min(limit, PASSED_BYTES):
            return answers.in_bundle(await exactly(answer, answer.length))
        if is_bundle and stall_s is not None and on_step is None:
            return await begun(answer, limit, stall_s)
        body = await _read(answer, limit, on_step)
        return answers.in_bundle(body) if is_bundle else await answers.in_json(body)
    except asyncio.IncompleteReadError as error:
        raise ConnectionLost("the answer breaks off") from error
    except ValueError as error:  # a ValidationError is one
        raise InvalidReply(str(error)) from error


async def _read(answer: HttpAnswer, limit: int, on_step: OnStep | None) -> bytes | bytearray:
    """The whole body; of events the last. Raises: InvalidReply, where there is more than the limit; RequestRefused."""
    try:
        if on_step and answer.content_type == events.MEDIA_TYPE:
            return await events.done_of(chunks_of(answer), limit, on_step)
        return await gathered(chunks_of(answer), limit)
    except (TooLarge, InvalidEvents) as error:
        answer.close()
        raise InvalidReply(str(error)) from error
    except FailedAfterSteps as error:
        raise RequestRefused(answer.status, error.reply) from error


def _refusal(status: int, body: bytes | bytearray) -> RequestRefused:
    try:
        return RequestRefused(status, ErrorReply.model_validate_json(body))
    except ValidationError:
        return RequestRefused(status, None)
