"""Questions about what another gateway keeps: passed on to it, and answered to others."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from typing import Any, Final

import aiohttp
from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse, StreamingResponse
from starlette.types import Receive, Scope, Send

from lorapool_common.signed.calls import SIGNATURE_HEADER, NotSigned
from lorapool_common.signed.renewed import RenewedVerifier
from lorapool_gateway.errors import GatewayError, KeptGone
from lorapool_gateway.http import errors
from lorapool_gateway.kept.ids import Ids, KeptAt, KeptKind
from lorapool_gateway.kept.peers import PREFIX, PROOF_HEADER, OtherGateways, PeerAnswer, PeerGone, proofs

Answer = Callable[[str], Awaitable[Response]]
# Of an answer's headers what is another's business: how it was sent, and its proof.
_OWN: Final = frozenset({"connection", "date", "server", "transfer-encoding", PROOF_HEADER, "x-request-id"})


class Passing:
    """Answers here what is kept here, and asks the gateway that keeps it otherwise."""

    def __init__(self, ids: Ids, peers: OtherGateways | None = None) -> None:
        """Without `peers` nothing is known of other gateways."""
        self._ids = ids
        self._peers = peers

    async def answered(self, kind: KeptKind, id_: str, owner: bytes, method: str, tail: str, here: Answer) -> Response:
        """What `here` answers to the ID, or another gateway for the same and `tail`.

        Raises:
            UnknownKept: it is none, or another owner's.
            KeptGone: its gateway has ended, or keeps it no longer.
            PodFailed: its gateway does not answer.
        """
        at = self._ids.where(kind, id_, owner)
        if at == self._ids.own:
            return await here(id_)
        if self._peers is None or at.address == self._ids.own.address:
            raise KeptGone(kind, id_)
        return await self._passed_on(self._peers, at, kind, id_, method, tail)

    async def _passed_on(
        self, peers: OtherGateways, at: KeptAt, kind: KeptKind, id_: str, method: str, tail: str
    ) -> Response:
        try:
            answer = await peers.ask(at, method, f"{kind.value}s/{id_}{tail}")
        except PeerGone:
            raise KeptGone(kind, id_) from None
        return PassedOn(answer)


class PassedOn(StreamingResponse):
    """Another gateway's answer, as it comes."""

    def __init__(self, answer: PeerAnswer) -> None:
        headers = {name.lower(): value for name, value in answer.headers.items() if name.lower() not in _OWN}
        super().__init__(_unbroken(answer.chunks), answer.status, headers)
        self._answer = answer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it; its connection ends with the client's."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._answer.close()


async def _unbroken(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The chunks; where the other gateway breaks off, so does this answer."""
    try:
        async for chunk in chunks:
            yield chunk
    except (aiohttp.ClientError, TimeoutError) as error:
        raise ConnectionResetError(str(error)) from error


def peer_routes(
    answers: Mapping[tuple[str, str], Answer], verifier: RenewedVerifier, keys: Callable[[], Sequence[bytes]]
) -> APIRouter:
    """Routes for other gateways, which sign their calls: beside metrics, where no client of ours asks.

    Args:
        answers: by method and path below `PREFIX`, with `{id}` in it.
    """
    router = APIRouter(prefix=PREFIX)

    def route(answer: Answer) -> Callable[[Request, str], Awaitable[Response]]:
        async def asked(request: Request, id: str) -> Response:
            signed = {SIGNATURE_HEADER: request.headers.get(SIGNATURE_HEADER, "")}
            try:
                # None of these calls has a body that is read.
                verifier.check(signed[SIGNATURE_HEADER], request.method, _target(request))
            except NotSigned as error:
                return JSONResponse({"error": str(error)}, 401)
            found = await _or_error(answer, id)
            found.headers[PROOF_HEADER] = proofs(keys()[:1], signed)[0]
            return found

        return asked

    for (method, path), answer in answers.items():
        router.add_api_route(f"/{path}", route(answer), methods=[method])
    return router


async def _or_error(answer: Answer, id_: str) -> Response:
    try:
        return await answer(id_)
    except GatewayError as error:
        body: dict[str, Any] = errors.openai_body(error)
        return JSONResponse(body, errors.status(error), errors.headers(error))


def _target(request: Request) -> str:
    query = request.url.query
    return f"{request.scope['raw_path'].decode('latin-1')}{'?' if query else ''}{query}"
