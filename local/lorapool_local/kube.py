"""The little of the Kubernetes API that the plane itself speaks, on httpx: JSON in, JSON out, watches."""

import json
import ssl
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import httpx

from lorapool_local.pki import KeyPair

Object = dict[str, Any]

MERGE_PATCH = "application/merge-patch+json"
STRATEGIC_PATCH = "application/strategic-merge-patch+json"

_TIMEOUT = httpx.Timeout(15.0, connect=5.0)
# The apiserver ends a watch after this many seconds; a dead connection is noticed a little later.
_WATCH_S = 300


class KubeError(Exception):
    """The apiserver refused, or could not be reached (code 0)."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(f"{code}: {message}" if code else message)
        self.code = code


class Kube:
    """A client that verifies the plane's authority and is known by a token or a certificate."""

    def __init__(self, server: str, authority: Path, *, token: str | None = None, pair: KeyPair | None = None) -> None:
        context = ssl.create_default_context(cafile=str(authority))
        if pair is not None:
            context.load_cert_chain(pair.certificate, pair.key)
        self._http = httpx.AsyncClient(
            base_url=server,
            verify=context,
            headers={"authorization": f"Bearer {token}"} if token else {},
            timeout=_TIMEOUT,
            limits=httpx.Limits(max_connections=None),
            trust_env=False,
        )

    async def close(self) -> None:
        await self._http.aclose()

    async def get(self, path: str, **query: str) -> Object:
        return await self._call("GET", path, query=query)

    async def get_text(self, path: str, **query: str) -> str:
        return (await self._send("GET", path, query=query)).text

    async def post(self, path: str, body: Object) -> Object:
        return await self._call("POST", path, body=body)

    async def put(self, path: str, body: Object) -> Object:
        return await self._call("PUT", path, body=body)

    async def patch(self, path: str, body: Object, content_type: str = STRATEGIC_PATCH) -> Object:
        return await self._call("PATCH", path, body=body, content_type=content_type)

    async def delete(self, path: str, body: Object) -> Object:
        return await self._call("DELETE", path, body=body)

    async def is_ready(self, path: str = "/readyz") -> bool:
        try:
            reply = await self._http.get(path)
        except httpx.HTTPError:
            return False
        return reply.status_code == httpx.codes.OK

    async def watch(self, path: str, version: str, **query: str) -> AsyncIterator[tuple[str, Object]]:
        """(type, object) of each change since a version, until the apiserver ends the stream.

        Raises `KubeError` with code 410 when the version is too old: list again.
        """
        asked = {**query, "watch": "1", "resourceVersion": version, "timeoutSeconds": str(_WATCH_S)}
        asked["allowWatchBookmarks"] = "true"
        timeout = httpx.Timeout(15.0, connect=5.0, read=_WATCH_S + 30)
        try:
            async with self._http.stream("GET", path, params=asked, timeout=timeout) as reply:
                if reply.is_error:
                    await reply.aread()
                    raise _refusal(reply)
                async for line in reply.aiter_lines():
                    yield _watch_event(json.loads(line))
        except (httpx.HTTPError, json.JSONDecodeError) as error:  # a line may be cut short
            raise KubeError(0, f"watch {path}: {error!r}") from error

    async def _call(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None = None,
        body: Object | None = None,
        content_type: str = "application/json",
    ) -> Object:
        result: Object = (await self._send(method, path, query, body, content_type)).json()
        return result

    async def _send(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None = None,
        body: Object | None = None,
        content_type: str = "application/json",
    ) -> httpx.Response:
        content = None if body is None else json.dumps(body)
        headers = {} if body is None else {"content-type": content_type}
        try:
            reply = await self._http.request(method, path, params=query, content=content, headers=headers)
        except httpx.HTTPError as error:
            raise KubeError(0, f"{method} {path}: {error!r}") from error
        if reply.is_error:
            raise _refusal(reply)
        return reply


def _refusal(reply: httpx.Response) -> KubeError:
    try:
        message = reply.json()["message"]
    except (ValueError, KeyError, TypeError):
        message = reply.text[:200]
    return KubeError(reply.status_code, message)


def _watch_event(event: Object) -> tuple[str, Object]:
    if event["type"] == "ERROR":
        status = event["object"]
        raise KubeError(status.get("code", 0), status.get("message", "watch failed"))
    return event["type"], event["object"]
