"""GET as sources are asked: redirects followed by hand, so that each hop can be refused, and errors typed."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from types import TracebackType
from typing import Final, Self

import httpx

from lorapool_api.fetch.client_errors import refused_by_client
from lorapool_api.fetch.policy import SourceRefused, UrlFetch
from lorapool_api.kinds.conditions import Reason
from lorapool_common.http.bodies import TooLarge, read_at_most
from lorapool_common.http.pinned import LIMITS, addresses_of, pinned
from lorapool_common.http.tls import trusted

TIMEOUT: Final = httpx.Timeout(15.0, connect=5.0)
_UNSATISFIABLE: Final = 416
_RANGE: Final = "range"

# Sends one request to where the fetch stands.
Send = Callable[[UrlFetch, Mapping[str, str]], Awaitable[httpx.Response]]
# The answer to a request with these headers, its body not read yet. Raises: SourceRefused.
Opener = Callable[[Mapping[str, str]], AbstractAsyncContextManager[httpx.Response]]


@asynccontextmanager
async def opened(fetch: UrlFetch, send: Send, headers: Mapping[str, str]) -> AsyncIterator[httpx.Response]:
    """The answer after all redirects, its body not read yet and in no encoding that was not sent as it is.

    Raises:
        SourceRefused: what was answered instead; nothing was; the body broke off while it was read.
    """
    asked = {"accept-encoding": "identity", **headers}
    try:
        while True:
            response = await send(fetch, asked | fetch.headers())
            try:
                if response.status_code == _UNSATISFIABLE and _RANGE in asked:
                    del asked[_RANGE]
                    continue  # an empty file has no first byte; asked without a range it answers as it does the pods
                if fetch.answered(response.status_code, response.headers):
                    yield response
                    return
            finally:
                await response.aclose()
    except (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError) as error:
        raise refused_by_client(error, fetch.shown) from error


async def small_body(response: httpx.Response, max_bytes: int, shown: str) -> bytes:
    """All of a body that cannot be large. Raises: SourceRefused (`FileTooLarge`) where it is."""
    try:
        return await read_at_most(response.aiter_raw(), max_bytes)
    except TooLarge as error:
        message = f"{shown}: the answer has more than {max_bytes} bytes"
        raise SourceRefused(Reason.FILE_TOO_LARGE, message) from error


class PublicClient:
    """Asks servers that people name: each at an address that was checked, and through no proxy."""

    def __init__(self) -> None:
        # No proxy from the environment: it would look up names for us and reach what we may not.
        self._client = httpx.AsyncClient(
            timeout=TIMEOUT, follow_redirects=False, trust_env=False, limits=LIMITS, verify=trusted(trust_env=False)
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        await self._client.aclose()

    async def send(self, fetch: UrlFetch, headers: Mapping[str, str]) -> httpx.Response:
        """One request, at one of the host's addresses that may be connected to.

        Raises: SourceRefused; what httpx and the look-up of names raise.
        """
        host, port = fetch.host()
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
        *others, last = fetch.addresses(addresses_of(found))
        for address in others:
            with contextlib.suppress(httpx.ConnectError, httpx.ConnectTimeout):
                return await self._send_to(address, fetch, headers)
        return await self._send_to(last, fetch, headers)

    def opened(self, fetch: UrlFetch, headers: Mapping[str, str]) -> AbstractAsyncContextManager[httpx.Response]:
        """The answer after all redirects, as `opened` gives it."""
        return opened(fetch, self.send, headers)

    async def _send_to(self, address: str, fetch: UrlFetch, headers: Mapping[str, str]) -> httpx.Response:
        return await self._client.send(pinned(self._client, fetch.url, address, headers), stream=True)
