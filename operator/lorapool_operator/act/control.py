"""The control port of a runtime pod, as `lorapool_api.wire` writes it down."""

from typing import Any, Final, TypeVar

import httpx
from pydantic import BaseModel, ValidationError

from lorapool_api.names import CONTROL_PORT
from lorapool_api.wire.catalog import Catalog, CatalogDelta
from lorapool_api.wire.reply import ErrorCode, ErrorReply
from lorapool_api.wire.state import BaseReport, PodState

POLL_S: Final = 30
_ANSWER_S: Final = 10.0
_CONNECT_S: Final = 5.0

M = TypeVar("M", bound=BaseModel)


class ControlError(Exception):
    """A pod did not answer, or not as agreed."""


class DigestMismatch(ControlError):
    """The pod holds another catalog than the delta starts from."""


class NotLoaded(ControlError):
    """The base is not loaded yet."""


class Control:
    """Calls to the control ports of pods. Never through a proxy: they are in the cluster."""

    def __init__(self, port: int = CONTROL_PORT) -> None:
        self._port = port
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=None)
        self._http = httpx.AsyncClient(
            timeout=httpx.Timeout(_ANSWER_S, connect=_CONNECT_S, pool=None), limits=limits, trust_env=False
        )

    async def close(self) -> None:
        await self._http.aclose()

    async def state(self, ip: str, token: str, since: int, instance: str | None) -> PodState:
        """The pod's state as soon as it is newer than `since`, or after a while."""
        query = {"since": str(since), "instance": instance or "", "wait": str(POLL_S)}
        return _read(PodState, await self._call("GET", ip, "state", token, query=query, answer_s=POLL_S + _ANSWER_S))

    async def base(self, ip: str, token: str) -> BaseReport:
        """Raises: NotLoaded, ControlError."""
        return _read(BaseReport, await self._call("GET", ip, "base", token))

    async def put(self, ip: str, token: str, catalog: Catalog) -> PodState:
        return _read(PodState, await self._call("PUT", ip, "catalog", token, body=catalog))

    async def patch(self, ip: str, token: str, delta: CatalogDelta) -> PodState:
        """Raises: DigestMismatch, ControlError."""
        return _read(PodState, await self._call("PATCH", ip, "catalog", token, body=delta))

    async def _call(
        self,
        method: str,
        ip: str,
        what: str,
        token: str,
        *,
        body: BaseModel | None = None,
        query: dict[str, str] | None = None,
        answer_s: float = _ANSWER_S,
    ) -> httpx.Response:
        host = f"[{ip}]" if ":" in ip else ip
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        try:
            response = await self._http.request(
                method,
                f"http://{host}:{self._port}/v1/{what}",
                params=query,
                content=body.model_dump_json() if body else None,
                headers=headers,
                timeout=httpx.Timeout(answer_s, connect=_CONNECT_S, pool=None),
            )
        except httpx.HTTPError as error:
            raise ControlError(f"{method} {what}: {type(error).__name__}: {error}") from error
        if response.status_code != 200:
            raise _refusal(method, what, response)
        return response


def _refusal(method: str, what: str, response: httpx.Response) -> ControlError:
    try:
        reply: Any = ErrorReply.model_validate_json(response.content)
    except ValidationError:
        return ControlError(f"{method} {what}: status {response.status_code}")
    if reply.code is ErrorCode.DIGEST_MISMATCH:
        return DigestMismatch(reply.message)
    if reply.code is ErrorCode.NOT_READY:
        return NotLoaded(reply.message)
    return ControlError(f"{method} {what}: {reply.code}: {reply.message}")


def _read(model: type[M], response: httpx.Response) -> M:
    try:
        return model.model_validate_json(response.content)
    except ValidationError as error:
        raise ControlError(f"an answer that is no {model.__name__}: {error.error_count()} errors") from error
