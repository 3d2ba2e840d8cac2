"""Files at an address, on hosts that the installation allows: `url` sources, and others that have one."""

import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

import httpx
import structlog
from pydantic import SecretStr

from lorapool_api.fetch.client_errors import refused_by_client
from lorapool_api.fetch.policy import SourceRefused, UrlFetch
from lorapool_api.fetch.stores import changed, strong_etag
from lorapool_api.kinds.conditions import Reason
from lorapool_common.http.pinned import LIMITS, addresses_of, pinned
from lorapool_common.http.tls import trusted
from lorapool_runtime.errors import AdapterError
from lorapool_runtime.sources.limits import Expected, Write, write_hashed

log = structlog.get_logger(__name__)

_RESUMES: Final = 3
_TIMEOUT: Final = httpx.Timeout(20.0, connect=10.0)


def fetch(
    url: str,
    hosts: Sequence[str],
    target: Path,
    expected: Expected,
    cancelled: Callable[[], bool],
    write: Write = write_hashed,
    token: SecretStr | None = None,
) -> str:
    """Download to `target` and return the sha256. The token is for the address's own host alone.

    Raises: AdapterError, as `download` does.
    """
    return download(lambda: UrlFetch(url, hosts, token=token), target, expected, cancelled, write)


def download(
    begin: Callable[[], UrlFetch],
    target: Path,
    expected: Expected,
    cancelled: Callable[[], bool],
    write: Write = write_hashed,
    headers: Mapping[str, str] | None = None,
    etag: str | None = None,
) -> str:
    """Download to `target` and return the sha256. A download that breaks off goes on where it was, a few times.

    Args:
        begin: makes the fetch anew, for each time that the address is asked.
        headers: of each request, besides what the fetch says.
        etag: that the answer must have, without its quotes; None: any.

    Raises:
        AdapterError: a host or an address that is not allowed, here or after any redirect; what the server answers.
    """
    shown = begin().shown
    # No proxy from the environment: it would look up names for us and reach what we may not.
    with httpx.Client(
        timeout=_TIMEOUT, follow_redirects=False, trust_env=False, limits=LIMITS, verify=trusted(trust_env=False)
    ) as client:
        try:
            return write(_chunks(client, begin, headers or {}, expected, etag), target, expected, cancelled)
        except SourceRefused as error:
            raise AdapterError.of(error) from error
        except (httpx.InvalidURL, httpx.TransportError, socket.gaierror, ValueError) as error:
            raise AdapterError.of(refused_by_client(error, shown)) from error


def _chunks(
    client: httpx.Client,
    begin: Callable[[], UrlFetch],
    headers: Mapping[str, str],
    expected: Expected,
    etag: str | None,
) -> Iterator[bytes]:
    """The body, as it comes: whoever drips it must be seen to."""
    received, version = 0, None
    asked = {**headers, "if-match": f'"{etag}"'} if etag else headers
    for attempt in range(_RESUMES + 1):
        at = begin()
        try:
            with _opened(client, at, asked, received, version) as response:
                if etag is not None and strong_etag(response.headers) != etag:
                    raise changed(at.shown)
                announced = response.headers.get("content-length", "")
                if announced.isdigit() and received + int(announced) > expected.max_bytes:
                    expected.check_size(received + int(announced))
                version = version or _version(response)
                for chunk in response.iter_raw():
                    received += len(chunk)
                    yield chunk
                return
        except httpx.TransportError as error:
            if attempt == _RESUMES or not received or version is None:
                raise
            log.info("a download broke off; going on", source=at.shown, at=received, error=type(error).__name__)


@contextmanager
def _opened(
    client: httpx.Client, at: UrlFetch, headers: Mapping[str, str], first: int, version: str | None
) -> Iterator[httpx.Response]:
    """The response after all redirects, from that byte on of that version of the file."""
    wanted = {"accept-encoding": "identity", **headers}
    if first and version:
        wanted |= {"range": f"bytes={first}-", "if-range": version}
    while True:
        response = _ask(client, at, wanted | at.headers())
        try:
            if at.answered(response.status_code, response.headers):
                _check_place(at.shown, response, first)
                yield response
                return
        finally:
            response.close()


def _ask(client: httpx.Client, fetch: UrlFetch, headers: Mapping[str, str]) -> httpx.Response:
    """The answer of the host at one of its addresses that may be connected to."""
    host, port = fetch.host()
    *others, last = fetch.addresses(addresses_of(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)))
    for address in others:
        with suppress(httpx.ConnectError, httpx.ConnectTimeout):
            return client.send(pinned(client, fetch.url, address, headers), stream=True)
    return client.send(pinned(client, fetch.url, last, headers), stream=True)


def _version(response: httpx.Response) -> str | None:
    """What says that a later answer is about the same bytes (RFC 9110, 13.1.5); None: nothing does."""
    if "bytes" not in response.headers.get("accept-ranges", ""):
        return None
    etag = response.headers.get("etag")
    return None if etag is None or etag.startswith("W/") else str(etag)


def _check_place(shown: str, response: httpx.Response, first: int) -> None:
    """Raises: AdapterError (`SourceUnavailable`) unless the answer is the file from that byte on."""
    if first and response.status_code == httpx.codes.OK:
        raise AdapterError(Reason.SOURCE_UNAVAILABLE, f"{shown} changed while it was read")
    begin = response.headers.get("content-range", "bytes 0-")
    if not begin.startswith(f"bytes {first}-"):
        raise AdapterError(Reason.SOURCE_UNAVAILABLE, f"{shown} sent another part of the file than was asked for")
