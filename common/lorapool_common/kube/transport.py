"""HTTP to the API server, with credentials that are renewed."""

import contextlib
import time
from collections.abc import AsyncGenerator, Callable, Mapping
from typing import Final

import aiohttp

from lorapool_common.kube.access import ClusterAccess
from lorapool_common.kube.calls.api_call import UNREACHABLE, ApiCall, ObserveCall, no_observer, verb_and_resource
from lorapool_common.kube.current_access import CurrentAccess
from lorapool_common.kube.errors import ApiError

JSON: Final = "application/json"

Query = Mapping[str, str]


class Transport:
    """Connections to the API server. Made on the event loop."""

    def __init__(
        self,
        access: CurrentAccess,
        observe: ObserveCall = no_observer,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`observe` is told of each call that is over."""
        self._access = access
        self._observe = observe
        self._clock = clock
        # No limit of connections: watches hold theirs. Proxies of the environment are not asked, as kopf does not.
        # Nor are cookies kept: no client of Kubernetes does, and looking for them takes its time with each call.
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0),
            headers={"User-Agent": "lorapool"},
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=False,
        )

    async def close(self) -> None:
        await self._session.close()

    @contextlib.asynccontextmanager
    async def open(
        self,
        method: str,
        path: str,
        query: Query,
        data: bytes | None = None,
        content_type: str = JSON,
        *,
        accept: str = JSON,
        timeout: aiohttp.ClientTimeout,  # noqa: ASYNC109 -- aiohttp's word for several timeouts
    ) -> AsyncGenerator[aiohttp.ClientResponse, None]:
        """The reply while it is read; asked for once more with new credentials where the present ones are refused.

        Raises:
            ApiError: there is no answer, or it breaks off while it is read.
        """
        headers = {"Accept": accept} | ({} if data is None else {"Content-Type": content_type})
        began, code = self._clock(), UNREACHABLE
        try:
            access = await self._access.current()
            reply = await self._ask(access, method, path, query, data, headers, timeout)
            if reply.status == 401 and (renewed := await self._access.renewed(access)) is not None:
                reply.release()
                reply = await self._ask(renewed, method, path, query, data, headers, timeout)
            code = str(reply.status)
            async with reply:
                yield reply
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise ApiError(0, "Unreachable", f"{method} {path}: {type(error).__name__}: {error}") from error
        finally:
            verb, resource = verb_and_resource(method, path, query, content_type)
            self._observe(ApiCall(verb, resource, code, self._clock() - began))

    async def _ask(
        self,
        access: ClusterAccess,
        method: str,
        path: str,
        query: Query,
        data: bytes | None,
        headers: Mapping[str, str],
        timeout: aiohttp.ClientTimeout,  # noqa: ASYNC109 -- as above
    ) -> aiohttp.ClientResponse:
        authorization = access.authorization
        return await self._session.request(
            method,
            access.server + path,
            params=query,
            data=data,
            headers={**headers, "Authorization": authorization} if authorization else headers,
            ssl=self._access.tls,
            server_hostname=access.server_name,
            proxy=access.proxy,
            timeout=timeout,
        )
