"""The control port of a runtime pod, as `lorapool_api.wire` writes it down.

A pod may be broken or hostile: its answers are never compressed, read up to a limit, and checked.
"""

from http import HTTPStatus
from typing import Final, TypeVar

import aiohttp
from pydantic import BaseModel, ValidationError
from yarl import URL

from lorapool_api.names import CONTROL_PORT
from lorapool_api.wire.catalog import Catalog, CatalogDelta
from lorapool_api.wire.credentials import CredentialsDelivery
from lorapool_api.wire.fleet import Assignment, encoded_assignment
from lorapool_api.wire.reply import ErrorCode, ErrorReply
from lorapool_api.wire.state import BaseReport, PodState
from lorapool_common.http.bodies import TooLarge, read_at_most
from lorapool_common.http.listening import host_of
from lorapool_common.signed.calls import Signer
from lorapool_common.signed.headers import signature_of

POLL_S: Final = 30
_ANSWER_S: Final = 10.0
_CONNECT_S: Final = 5.0

STATE_MAX_BYTES: Final = 16 << 20
# A state is read on the event loop: a pod of few adapters may not say as much as one of ten thousand. The first term
# leaves room for some thousand that were deleted while nobody led; an entry has 300 bytes, with a message up to 2,000.
_STATE_BYTES: Final = 2 << 20
_ENTRY_BYTES: Final = 2 << 10
_BASE_MAX_BYTES: Final = 4 << 20
_ERROR_MAX_BYTES: Final = 64 << 10

M = TypeVar("M", bound=BaseModel)


def state_limit(adapters: int) -> int:
    """Most bytes of a state in a pool of that many adapters."""
    return min(STATE_MAX_BYTES, _STATE_BYTES + adapters * _ENTRY_BYTES)


class ControlError(Exception):
    """A pod did not answer, or not as agreed."""


class DigestMismatch(ControlError):
    """The pod holds another catalog than the delta starts from."""


class NotLoaded(ControlError):
    """The base is not loaded yet."""


class NotSupported(ControlError):
    """The pod is of an earlier version, which does not know such a call."""


class TokenRefused(ControlError):
    """The pod knows another control token than this operator."""


class Control:
    """Calls to the control ports of pods. Never through a proxy: they are in the cluster."""

    def __init__(self, port: int = CONTROL_PORT, signer: Signer | None = None) -> None:
        """`signer`: of this operator; None: calls are not signed, and the token alone says whose they are.

        Each call takes the token that the pod knows its operator by; empty: it knows it by the signature.
        """
        self._port = port
        self._signer = signer
        self._opened: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        if self._opened is not None:
            await self._opened.close()

    async def state(
        self, ip: str, token: str, since: int, instance: str | None, max_bytes: int = STATE_MAX_BYTES
    ) -> PodState:
        """The pod's state as soon as it is newer than `since`, or after a while."""
        query = {"since": str(since), "instance": instance or "", "wait": str(POLL_S), "gone": "1"}
        wait_s = POLL_S + _ANSWER_S
        body = await self._call("GET", ip, "state", token, max_bytes, query=query, answer_s=wait_s)
        return _read(PodState, body)

    async def base(self, ip: str, token: str) -> BaseReport:
        """Raises: NotLoaded, ControlError."""
        return _read(BaseReport, await self._call("GET", ip, "base", token, _BASE_MAX_BYTES))

    async def assign(self, ip: str, token: str, assignment: Assignment, delta: CatalogDelta | None = None) -> PodState:
        """With the change of its catalog, which the pod takes or not: its state says so.

        Raises: NotSupported, ControlError.
        """
        data = encoded_assignment(assignment, delta)
        return _read(PodState, await self._call("PUT", ip, "assignment", token, STATE_MAX_BYTES, body=data))

    async def deliver(self, ip: str, token: str, delivery: CredentialsDelivery) -> PodState:
        """Raises: ControlError, which says nothing of what was delivered."""
        body = await self._call("PUT", ip, "credentials", token, STATE_MAX_BYTES, body=delivery)
        return _read(PodState, body)

    async def put(self, ip: str, token: str, catalog: Catalog, max_bytes: int = STATE_MAX_BYTES) -> PodState:
        return _read(PodState, await self._call("PUT", ip, "catalog", token, max_bytes, body=catalog))

    async def patch(self, ip: str, token: str, delta: CatalogDelta, max_bytes: int = STATE_MAX_BYTES) -> PodState:
        """Raises: DigestMismatch, ControlError."""
        return _read(PodState, await self._call("PATCH", ip, "catalog", token, max_bytes, body=delta))

    async def _call(
        self,
        method: str,
        ip: str,
        what: str,
        token: str,
        max_bytes: int,
        *,
        body: BaseModel | bytes = b"",
        query: dict[str, str] | None = None,
        answer_s: float = _ANSWER_S,
    ) -> bytes:
        """The body of a good answer, whole within `answer_s`."""
        url = URL(f"http://{host_of(ip)}:{self._port}/v1/{what}").with_query(query)
        data = body if isinstance(body, bytes) else _encoded(body)
        signed = await signature_of(self._signer, method, url, data)
        headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {token}"} if token else {})
        call = self._session().request(
            method,
            url,
            data=data or None,
            headers=headers | signed,
            timeout=aiohttp.ClientTimeout(total=answer_s, sock_connect=_CONNECT_S),
            allow_redirects=False,
        )
        try:
            async with call as answer:
                good = answer.status == HTTPStatus.OK
                data = await _body(answer, max_bytes if good else _ERROR_MAX_BYTES)
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise ControlError(f"{method} {what}: {type(error).__name__}: {error}") from error
        if not good:
            raise _refusal(method, what, answer.status, data)
        return data

    def _session(self) -> aiohttp.ClientSession:
        """Opened by the first call, which runs in the event loop that it belongs to."""
        if self._opened is None:
            self._opened = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0),
                headers={"Accept-Encoding": "identity"},
                auto_decompress=False,
                cookie_jar=aiohttp.DummyCookieJar(),
            )
        return self._opened


def _encoded(body: BaseModel) -> bytes:
    return body.encoded if isinstance(body, Catalog | CatalogDelta) else body.model_dump_json().encode()


async def _body(answer: aiohttp.ClientResponse, max_bytes: int) -> bytes:
    try:
        return await read_at_most(answer.content.iter_any(), max_bytes)
    except TooLarge as error:
        answer.close()
        raise ControlError(str(error)) from error


def _refusal(method: str, what: str, status: int, body: bytes) -> ControlError:
    if status == HTTPStatus.UNAUTHORIZED:
        return TokenRefused(f"{method} {what}: the pod does not take this operator's calls: {_message(body)}")
    if status == HTTPStatus.NOT_FOUND:
        return NotSupported(f"{method} {what}: the pod does not know it")
    try:
        reply = ErrorReply.model_validate_json(body)
    except ValidationError:
        return ControlError(f"{method} {what}: status {status}")
    if reply.code is ErrorCode.DIGEST_MISMATCH:
        return DigestMismatch(reply.message)
    if reply.code is ErrorCode.NOT_READY:
        return NotLoaded(reply.message)
    return ControlError(f"{method} {what}: {reply.code}: {reply.message}")


def _message(body: bytes) -> str:
    """What a pod says to it, as far as it says anything."""
    try:
        return ErrorReply.model_validate_json(body).message
    except ValidationError:
        return "it does not say why"


def _read(model: type[M], body: bytes) -> M:
    try:
        return model.model_validate_json(body)
    except ValidationError as error:
        raise ControlError(f"an answer that is no {model.__name__}: {error.error_count()} errors") from error
