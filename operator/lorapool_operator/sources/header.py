"""The header of a remote safetensors file, by a range request: kilobytes instead of the file."""

import asyncio
import contextlib
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Final, Self

import httpx
from pydantic import SecretStr

from lorapool_api.fetch.policy import SourceRefused, UrlFetch, own_hosts
from lorapool_api.kinds.conditions import Reason
from lorapool_api.lora.header import LENGTH_BYTES, header_length
from lorapool_common.http.pinned import LIMITS, addresses_of, pinned
from lorapool_common.http.tls import trusted
from lorapool_operator.sources.http import Send, opened

# Headers of adapters have 30 to 200 KiB: one request reaches almost all of them.
_FIRST_BYTES: Final = 256 * 1024
_TIMEOUT: Final = httpx.Timeout(15.0, connect=5.0)


@dataclass(frozen=True)
class HeaderText:
    """The JSON of a header, as it came, and the size of the whole file."""

    text: bytes
    size_bytes: int


@dataclass(frozen=True)
class _Piece:
    """The beginning of a file, and the size of all of it."""

    data: bytes
    size_bytes: int


class Headers:
    """Fetches headers. Redirects are followed by hand, so that each hop can be refused."""

    def __init__(self, hosts: tuple[str, ...], first_bytes: int = _FIRST_BYTES) -> None:
        """`hosts` are those of `lorapool_api.fetch.hosts`; `first_bytes` are asked for before the length is known."""
        self._hosts = hosts
        self._first_bytes = first_bytes
        # No proxy from the environment: it would look up names for us and reach what we may not.
        self._strangers = httpx.AsyncClient(
            timeout=_TIMEOUT, follow_redirects=False, trust_env=False, limits=LIMITS, verify=trusted(trust_env=False)
        )
        # The Hub is the installation's choice, and its own client library takes the environment's proxy.
        self._hub = httpx.AsyncClient(timeout=_TIMEOUT, follow_redirects=False, verify=trusted(trust_env=True))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        await self._strangers.aclose()
        await self._hub.aclose()

    async def of_url(self, url: str, token: SecretStr | None = None) -> HeaderText:
        """The header of a file on a host that the installation allows, at a public or listed address.

        The token is for that host alone. Of the header only its length is checked.

        Raises: SourceRefused, FactsError (no safetensors).
        """
        return await self._header(lambda: UrlFetch(url, self._hosts, token=token), self._ask_stranger)

    async def of_hub(self, url: str, token: SecretStr | None = None) -> HeaderText:
        """The header of a file of the Hub, which says by itself where its files are. Raises: as `of_url`."""
        return await self._header(lambda: UrlFetch(url, own_hosts(url), token=token), self._ask_hub)

    async def _header(self, begin: Callable[[], UrlFetch], send: Send) -> HeaderText:
        piece = await _first(begin(), send, self._first_bytes)
        end = LENGTH_BYTES + header_length(piece.data, piece.size_bytes)
        if end > len(piece.data):
            piece = await _first(begin(), send, end)
        if len(piece.data) < end:
            message = f"{begin().shown}: the connection ended within the header"
            raise SourceRefused(Reason.SOURCE_UNAVAILABLE, message)
        return HeaderText(piece.data[LENGTH_BYTES:end], piece.size_bytes)

    async def _ask_stranger(self, fetch: UrlFetch, headers: Mapping[str, str]) -> httpx.Response:
        host, port = fetch.host()
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
        *others, last = fetch.addresses(addresses_of(found))
        for address in others:
            with contextlib.suppress(httpx.ConnectError, httpx.ConnectTimeout):
                return await self._send_to(address, fetch, headers)
        return await self._send_to(last, fetch, headers)

    async def _send_to(self, address: str, fetch: UrlFetch, headers: Mapping[str, str]) -> httpx.Response:
        return await self._strangers.send(pinned(self._strangers, fetch.url, address, headers), stream=True)

    async def _ask_hub(self, fetch: UrlFetch, headers: Mapping[str, str]) -> httpx.Response:
        return await self._hub.send(self._hub.build_request("GET", fetch.url, headers=headers), stream=True)


async def _first(fetch: UrlFetch, send: Send, wanted: int) -> _Piece:
    """The first bytes, from a server that knows ranges or from one that does not. Raises: SourceRefused."""
    async with opened(fetch, send, {"range": f"bytes=0-{wanted - 1}"}) as response:
        return await _piece(response, wanted, fetch.shown)


async def _piece(response: httpx.Response, wanted: int, shown: str) -> _Piece:
    size = _size(response)
    if size is None:
        raise SourceRefused(Reason.SOURCE_UNAVAILABLE, f"{shown}: the server does not say how large the file is")
    data = bytearray()
    async for chunk in response.aiter_raw():
        data += chunk
        if len(data) >= wanted:
            break  # a server without ranges sends all of it: closing the response closes the connection
    return _Piece(bytes(data[:wanted]), size)


def _size(response: httpx.Response) -> int | None:
    """Of the whole file: after the slash of Content-Range, else the Content-Length of a complete answer."""
    text = response.headers.get("content-range", "").rpartition("/")[2]
    if response.status_code == httpx.codes.OK:
        text = response.headers.get("content-length", "")
    return int(text) if text.isdecimal() else None
