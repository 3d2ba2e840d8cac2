"""`url` sources: files at an address, on hosts that the installation allows."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import httpx

from lorapool_api.conditions import Reason
from lorapool_api.hosts import is_allowed
from lorapool_runtime.errors import AdapterError
from lorapool_runtime.store.limits import CHUNK_BYTES, Expected, write_hashed

_MAX_REDIRECTS: Final = 5
_TIMEOUT: Final = httpx.Timeout(20.0, connect=10.0)


def fetch(url: str, hosts: Sequence[str], target: Path, expected: Expected, cancelled: Callable[[], bool]) -> str:
    """Download to `target` and return the sha256.

    Raises:
        AdapterError: a host that is not allowed, here or after any redirect; what the server answers instead.
    """
    # No proxy from the environment: it would resolve names for us and reach what we may not.
    with httpx.Client(timeout=_TIMEOUT, follow_redirects=False, trust_env=False) as client:
        try:
            return _follow(client, httpx.URL(url), hosts, target, expected, cancelled)
        except httpx.InvalidURL as error:
            raise AdapterError(Reason.SOURCE_NOT_FOUND, f"not an address: {error}") from error
        except httpx.TimeoutException as error:
            raise AdapterError(Reason.SOURCE_UNAVAILABLE, f"{_plain(url)} did not answer in time") from error
        except httpx.TransportError as error:
            message = f"{_plain(url)} cannot be reached: {type(error).__name__}"
            raise AdapterError(Reason.SOURCE_UNAVAILABLE, message) from error


def _follow(
    client: httpx.Client,
    url: httpx.URL,
    hosts: Sequence[str],
    target: Path,
    expected: Expected,
    cancelled: Callable[[], bool],
) -> str:
    for _ in range(_MAX_REDIRECTS + 1):
        check_allowed(url, hosts)
        with client.stream("GET", url, headers={"accept-encoding": "identity"}) as response:
            if response.next_request is not None:
                url = response.next_request.url
                continue
            _check_status(str(url), response.status_code)
            announced = response.headers.get("content-length", "")
            if announced.isdigit() and int(announced) > expected.max_bytes:
                expected.check_size(int(announced))
            return write_hashed(response.iter_bytes(CHUNK_BYTES), target, expected, cancelled)
    raise AdapterError(Reason.SOURCE_NOT_FOUND, f"{_plain(str(url))}: more than {_MAX_REDIRECTS} redirects")


def check_allowed(url: httpx.URL, hosts: Sequence[str]) -> None:
    """Raises: AdapterError (`SourceForbidden`) unless the scheme is http(s) and a pattern allows host and port."""
    if not is_allowed(str(url), hosts):
        allowed = ", ".join(hosts) or "none"
        port = f":{url.port}" if url.port else ""
        raise AdapterError(
            Reason.SOURCE_FORBIDDEN, f"{url.scheme}://{url.host}{port} is not allowed; allowed hosts: {allowed}"
        )


def _check_status(url: str, status: int) -> None:
    if status == httpx.codes.OK:
        return
    if status in (401, 403, 407, 451):
        reason = Reason.SOURCE_FORBIDDEN
    elif status in (408, 425, 429) or status >= 500:
        reason = Reason.SOURCE_UNAVAILABLE
    else:
        reason = Reason.SOURCE_NOT_FOUND
    raise AdapterError(reason, f"{_plain(url)} answered {status}")


def _plain(url: str) -> str:
    """The address without its query, which may hold a signature."""
    return url.partition("?")[0]
