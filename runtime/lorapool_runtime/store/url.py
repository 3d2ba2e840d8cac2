"""`url` sources: files at an address, on hosts that the installation allows."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import httpx
import structlog

from lorapool_api.conditions import Reason
from lorapool_api.hosts import is_allowed
from lorapool_runtime.errors import AdapterError
from lorapool_runtime.store.limits import Expected, write_hashed

log = structlog.stdlib.get_logger(__name__)

_MAX_REDIRECTS: Final = 5
_RESUMES: Final = 3
_TIMEOUT: Final = httpx.Timeout(20.0, connect=10.0)


def fetch(url: str, hosts: Sequence[str], target: Path, expected: Expected, cancelled: Callable[[], bool]) -> str:
    """Download to `target` and return the sha256. A download that breaks off goes on where it was, a few times.

    Raises:
        AdapterError: a host that is not allowed, here or after any redirect; what the server answers instead.
    """
    # No proxy from the environment: it would resolve names for us and reach what we may not.
    with httpx.Client(timeout=_TIMEOUT, follow_redirects=False, trust_env=False) as client:
        try:
            chunks = _chunks(client, httpx.URL(url), hosts, expected)
            return write_hashed(chunks, target, expected, cancelled)
        except httpx.InvalidURL as error:
            raise AdapterError(Reason.SOURCE_NOT_FOUND, f"not an address: {error}") from error
        except httpx.TimeoutException as error:
            raise AdapterError(Reason.SOURCE_UNAVAILABLE, f"{_plain(url)} did not answer in time") from error
        except httpx.TransportError as error:
            message = f"{_plain(url)} cannot be reached: {type(error).__name__}"
            raise AdapterError(Reason.SOURCE_UNAVAILABLE, message) from error


def _chunks(client: httpx.Client, url: httpx.URL, hosts: Sequence[str], expected: Expected) -> Iterator[bytes]:
    """The body, as it comes: whoever drips it must be seen to."""
    received, version = 0, None
    for attempt in range(_RESUMES + 1):
        try:
            with _opened(client, url, hosts, received, version) as response:
                announced = response.headers.get("content-length", "")
                if announced.isdigit() and received + int(announced) > expected.max_bytes:
                    expected.check_size(received + int(announced))
                version = version or _version(response)
                for chunk in response.iter_bytes():
                    received += len(chunk)
                    yield chunk
                return
        except httpx.TransportError as error:
            if attempt == _RESUMES or not received or version is None:
                raise
            log.info("a download broke off; going on", url=_plain(str(url)), at=received, error=type(error).__name__)


@contextmanager
def _opened(
    client: httpx.Client, url: httpx.URL, hosts: Sequence[str], first: int, version: str | None
) -> Iterator[httpx.Response]:
    """The response after all redirects, from that byte on of that version of the file."""
    wanted = {"accept-encoding": "identity"}
    if first and version:
        wanted |= {"range": f"bytes={first}-", "if-range": version}
    for _ in range(_MAX_REDIRECTS + 1):
        check_allowed(url, hosts)
        with client.stream("GET", url, headers=wanted) as response:
            if response.next_request is not None:
                url = response.next_request.url
                continue
            _check_status(url, response, first)
            yield response
            return
    raise AdapterError(Reason.SOURCE_NOT_FOUND, f"{_plain(str(url))}: more than {_MAX_REDIRECTS} redirects")


def _version(response: httpx.Response) -> str | None:
    """What says that a later answer is about the same bytes (RFC 9110, 13.1.5); None: nothing does."""
    if "bytes" not in response.headers.get("accept-ranges", ""):
        return None
    etag = response.headers.get("etag")
    return None if etag is None or etag.startswith("W/") else str(etag)


def check_allowed(url: httpx.URL, hosts: Sequence[str]) -> None:
    """Raises: AdapterError (`SourceForbidden`) unless the scheme is http(s) and a pattern allows host and port."""
    if not is_allowed(str(url), hosts):
        allowed = ", ".join(hosts) or "none"
        port = f":{url.port}" if url.port else ""
        raise AdapterError(
            Reason.SOURCE_FORBIDDEN, f"{url.scheme}://{url.host}{port} is not allowed; allowed hosts: {allowed}"
        )


def _check_status(url: httpx.URL, response: httpx.Response, first: int) -> None:
    """Raises: AdapterError unless the answer is the file, from that byte on."""
    status, where = response.status_code, _plain(str(url))
    if status == (httpx.codes.PARTIAL_CONTENT if first else httpx.codes.OK):
        if first and not response.headers.get("content-range", "").startswith(f"bytes {first}-"):
            raise AdapterError(Reason.SOURCE_UNAVAILABLE, f"{where} sent another part than the rest of the file")
        return
    if first and status == httpx.codes.OK:
        raise AdapterError(Reason.SOURCE_UNAVAILABLE, f"{where} changed while it was read")
    if status in (401, 403, 407, 451):
        reason = Reason.SOURCE_FORBIDDEN
    elif status in (408, 425, 429) or status >= 500:
        reason = Reason.SOURCE_UNAVAILABLE
    else:
        reason = Reason.SOURCE_NOT_FOUND
    raise AdapterError(reason, f"{where} answered {status}")


def _plain(url: str) -> str:
    """The address without its query, which may hold a signature."""
    return url.partition("?")[0]
