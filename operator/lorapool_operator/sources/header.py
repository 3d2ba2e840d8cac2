"""The header of a remote safetensors file, by a range request: kilobytes instead of the file."""

from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial
from types import TracebackType
from typing import Final, Self

import httpx
from pydantic import SecretStr

from lorapool_api.fetch.policy import SourceRefused, UrlFetch, own_hosts
from lorapool_api.fetch.stores import object_fetch, strong_etag
from lorapool_api.kinds.conditions import Reason
from lorapool_api.lora.header import LENGTH_BYTES, header_length
from lorapool_common.http.tls import trusted
from lorapool_operator.sources.http import TIMEOUT, Opener, PublicClient, opened

# Headers of adapters have 30 to 200 KiB: one request reaches almost all of them.
FIRST_BYTES: Final = 256 * 1024


@dataclass(frozen=True)
class HeaderText:
    """The JSON of a header, as it came, and the size of the whole file.

    Attributes:
        etag: what says which content this is, without its quotes; None: nothing does.
    """

    text: bytes
    size_bytes: int
    etag: str | None = None


@dataclass(frozen=True)
class _Piece:
    """The beginning of a file, and the size of all of it."""

    data: bytes
    size_bytes: int
    etag: str | None


async def header_of(opener: Opener, shown: str, first_bytes: int = FIRST_BYTES) -> HeaderText:
    """The header of the file that is answered; of it only the length is checked.

    Args:
        shown: names the file in messages.
        first_bytes: are asked for before the length is known.

    Raises:
        SourceRefused: the file cannot be had.
        FactsError: it is no safetensors.
    """
    piece = await _first(opener, first_bytes, shown)
    end = LENGTH_BYTES + header_length(piece.data, piece.size_bytes)
    if end > len(piece.data):
        whole = await _first(opener, end, shown)
        if whole.etag != piece.etag:
            raise SourceRefused(Reason.SOURCE_UNAVAILABLE, f"{shown} changed while it was read")
        piece = whole
    if len(piece.data) < end:
        raise SourceRefused(Reason.SOURCE_UNAVAILABLE, f"{shown}: the connection ended within the header")
    return HeaderText(piece.data[LENGTH_BYTES:end], piece.size_bytes, piece.etag)


class Headers:
    """Fetches headers of files at addresses. Redirects are followed by hand, so that each hop can be refused."""

    def __init__(self, hosts: tuple[str, ...], first_bytes: int = FIRST_BYTES) -> None:
        """`hosts` are those of `lorapool_api.fetch.hosts`; `first_bytes` are asked for before the length is known."""
        self._hosts = hosts
        self._first_bytes = first_bytes
        self._public = PublicClient()
        # The Hub is the installation's choice, and its own client library takes the environment's proxy.
        self._hub = httpx.AsyncClient(timeout=TIMEOUT, follow_redirects=False, verify=trusted(trust_env=True))
        self._clients = AsyncExitStack()

    async def __aenter__(self) -> Self:
        await self._clients.enter_async_context(self._public)
        self._clients.push_async_callback(self._hub.aclose)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        await self._clients.aclose()

    async def of_url(self, url: str, token: SecretStr | None = None) -> HeaderText:
        """The header of a file on a host that the installation allows, at a public or listed address.

        The token is for that host alone. Of the header only its length is checked.

        Raises: SourceRefused, FactsError (no safetensors).
        """
        shown = UrlFetch(url, self._hosts).shown
        return await header_of(
            lambda headers: self._public.opened(UrlFetch(url, self._hosts, token=token), headers),
            shown,
            self._first_bytes,
        )

    async def of_object(self, url: str, shown: str, *, is_provider: bool, is_signed: bool) -> HeaderText:
        """The header of an object in a store, at that address; see `object_fetch`. Raises: as `of_url`."""
        begin = partial(object_fetch, url, shown, self._hosts, is_provider=is_provider, is_signed=is_signed)
        return await header_of(lambda headers: self._public.opened(begin(), headers), shown, self._first_bytes)

    async def of_hub(self, url: str, token: SecretStr | None = None) -> HeaderText:
        """The header of a file of the Hub, which says by itself where its files are. Raises: as `of_url`."""
        hosts = own_hosts(url)
        return await header_of(
            lambda headers: opened(UrlFetch(url, hosts, token=token), self._ask_hub, headers),
            UrlFetch(url, hosts).shown,
            self._first_bytes,
        )

    async def _ask_hub(self, fetch: UrlFetch, headers: Mapping[str, str]) -> httpx.Response:
        return await self._hub.send(self._hub.build_request("GET", fetch.url, headers=headers), stream=True)


async def _first(opener: Opener, wanted: int, shown: str) -> _Piece:
    """The first bytes, from a server that knows ranges or from one that does not. Raises: SourceRefused."""
    async with opener({"range": f"bytes=0-{wanted - 1}"}) as response:
        return await _piece(response, wanted, shown)


async def _piece(response: httpx.Response, wanted: int, shown: str) -> _Piece:
    size = _size(response)
    if size is None:
        raise SourceRefused(Reason.SOURCE_UNAVAILABLE, f"{shown}: the server does not say how large the file is")
    data = bytearray()
    async for chunk in response.aiter_raw():
        data += chunk
        if len(data) >= wanted:
            break  # a server without ranges sends all of it: closing the response closes the connection
    return _Piece(bytes(data[:wanted]), size, strong_etag(response.headers))


def _size(response: httpx.Response) -> int | None:
    """Of the whole file: after the slash of Content-Range, else the Content-Length of a complete answer."""
    text = response.headers.get("content-range", "").rpartition("/")[2]
    if response.status_code == httpx.codes.OK:
        text = response.headers.get("content-length", "")
    return int(text) if text.isdecimal() else None
