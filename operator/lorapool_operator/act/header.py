"""The header of a remote safetensors file, by a range request: kilobytes instead of the file."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final
from urllib.parse import urljoin

import httpx

from lorapool_api.conditions import Reason
from lorapool_api.header import LENGTH_BYTES, FactsError, header_length

# Headers of adapters have 30 to 200 KiB: one request reaches almost all of them.
_FIRST_BYTES: Final = 256 * 1024
_MAX_REDIRECTS: Final = 5
_TIMEOUT: Final = httpx.Timeout(15.0, connect=5.0)

MayVisit = Callable[[str], bool]


class SourceError(Exception):
    """A source that cannot be used, with the reason that a condition will carry."""

    def __init__(self, reason: Reason, message: str, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message
        self.retry_after_s = retry_after_s


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


def http_client() -> httpx.AsyncClient:
    """For files of others: redirects are followed by hand, so that each hop can be refused. Sends no credentials."""
    return httpx.AsyncClient(timeout=_TIMEOUT, follow_redirects=False)


async def fetch_header(client: httpx.AsyncClient, url: str, may_visit: MayVisit) -> HeaderText:
    """The header of the file at that address; only its length is checked.

    Args:
        may_visit: whether an address may be asked; called for each hop of a redirect too.

    Raises:
        SourceError: the file cannot be read.
        FactsError: the file is no adapter in safetensors.
    """
    piece = await _fetch(client, url, _FIRST_BYTES, may_visit)
    end = LENGTH_BYTES + header_length(piece.data, piece.size_bytes)
    if end > len(piece.data):
        piece = await _fetch(client, url, end, may_visit)
    if len(piece.data) < end:
        raise SourceError(Reason.SOURCE_UNAVAILABLE, f"{_shown(url)}: the connection ended within the header")
    return HeaderText(piece.data[LENGTH_BYTES:end], piece.size_bytes)


async def _fetch(client: httpx.AsyncClient, url: str, wanted: int, may_visit: MayVisit) -> _Piece:
    """The first bytes, from a server that knows ranges or from one that does not."""
    at = url
    for _ in range(_MAX_REDIRECTS + 1):
        if not may_visit(at):
            raise SourceError(
                Reason.SOURCE_FORBIDDEN,
                f"{_shown(url)} leads to {httpx.URL(at).host}, a host that this installation does not allow",
            )
        headers = {"Range": f"bytes=0-{wanted - 1}", "Accept-Encoding": "identity"}
        try:
            async with client.stream("GET", at, headers=headers) as response:
                if not response.is_redirect:
                    return await _piece(response, wanted, url)
                at = urljoin(at, response.headers["location"])
        except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
            text = f"{_shown(url)} cannot be reached: {type(error).__name__}"
            raise SourceError(Reason.SOURCE_UNAVAILABLE, text) from error
    raise SourceError(Reason.SOURCE_UNAVAILABLE, f"{_shown(url)} redirects more than {_MAX_REDIRECTS} times")


async def _piece(response: httpx.Response, wanted: int, url: str) -> _Piece:
    if response.status_code not in (200, 206):
        raise _status_error(response, url)
    size = _size(response)
    if size is None:
        raise SourceError(Reason.SOURCE_UNAVAILABLE, f"{_shown(url)}: the server does not say how large the file is")
    data = bytearray()
    async for chunk in response.aiter_raw():
        data += chunk
        if len(data) >= wanted:
            break  # a server without ranges sends all of it: leaving the block closes the connection
    return _Piece(bytes(data[:wanted]), size)


def _size(response: httpx.Response) -> int | None:
    """Of the whole file: after the slash of Content-Range, else the Content-Length of a complete answer."""
    text = response.headers.get("content-range", "").rpartition("/")[2]
    if response.status_code == 200:
        text = response.headers.get("content-length", "")
    return int(text) if text.isdecimal() else None


def _status_error(response: httpx.Response, url: str) -> SourceError | FactsError:
    code, shown = response.status_code, _shown(url)
    if code in (404, 410):
        return SourceError(Reason.SOURCE_NOT_FOUND, f"{shown}: no such file (HTTP {code})")
    if code in (401, 403):
        return SourceError(Reason.SOURCE_FORBIDDEN, f"{shown}: access denied (HTTP {code})")
    if code == 416:
        return FactsError(Reason.INVALID_WEIGHTS, "the file is empty")
    return SourceError(Reason.SOURCE_UNAVAILABLE, f"{shown}: HTTP {code}", retry_after_s(response.headers))


def retry_after_s(headers: httpx.Headers) -> float | None:
    """What a server asks to wait, where it says it in seconds."""
    text = headers.get("retry-after", "")
    return float(text) if text.isdecimal() else None


def _shown(url: str) -> str:
    """An address for messages: a query may hold a signature."""
    return url.partition("?")[0]
