"""`s3`, `gcs` and `azure` sources: objects at an address that is signed for an hour, as whoever they are asked as."""

from collections.abc import Callable, Collection
from functools import partial
from pathlib import Path
from typing import Final

from lorapool_api.fetch.policy import SourceRefused, UrlFetch
from lorapool_api.fetch.stores import object_fetch
from lorapool_api.kinds.conditions import Reason
from lorapool_api.wire.credentials import Credentials, plain_values
from lorapool_api.wire.sources.objects import AnyObject
from lorapool_common.stores.credentials import UnusableCredentials
from lorapool_common.stores.signing import NoIdentity, public_url, url_for, url_for_pod
from lorapool_runtime.errors import AdapterError
from lorapool_runtime.sources.limits import Expected, Write, write_hashed
from lorapool_runtime.sources.url import download

# A store without the right to list answers so of an object that is not there.
_ABSENT: Final = frozenset({Reason.SOURCE_NOT_FOUND, Reason.SOURCE_FORBIDDEN})


def fetch(
    source: AnyObject,
    hosts: Collection[str],
    target: Path,
    expected: Expected,
    cancelled: Callable[[], bool],
    write: Write = write_hashed,
    credentials: Credentials | None = None,
) -> str:
    """Download the object to `target` and return its sha256.

    Raises:
        AdapterError: a host or an address that is not allowed; what the store answers; another content than was meant.
    """
    return download(_begin(source, hosts, credentials), target, expected, cancelled, write, etag=source.etag)


def fetch_sidecar(
    source: AnyObject,
    name: str,
    hosts: Collection[str],
    folder: Path,
    max_bytes: int,
    credentials: Credentials | None = None,
) -> bytes | None:
    """The small object of that name with the same prefix, or None where there is none.

    Raises:
        AdapterError: the store does not say whether there is one, or it is larger than such a file can be.
    """
    target = folder / "sidecar"
    try:
        expected = Expected(None, None, max_bytes)
        fetch(source.beside(name), hosts, target, expected, lambda: False, credentials=credentials)
    except AdapterError as error:
        if error.reason in _ABSENT:
            return None
        raise
    return target.read_bytes()


def _begin(source: AnyObject, hosts: Collection[str], credentials: Credentials | None) -> Callable[[], UrlFetch]:
    """Raises: AdapterError."""
    url = _address(source, credentials)
    is_provider, is_signed = source.endpoint is None, not source.anonymous
    begin = partial(object_fetch, url, source.label, hosts, is_provider=is_provider, is_signed=is_signed)
    try:
        begin()
    except SourceRefused as error:
        raise AdapterError.of(error) from error
    return begin


def _address(source: AnyObject, credentials: Credentials | None) -> str:
    """Raises: AdapterError."""
    if source.anonymous:
        return public_url(source)
    try:
        if source.credentials is None:
            return url_for_pod(source)
        return url_for(source, plain_values(credentials or {}))
    except NoIdentity as error:
        raise AdapterError(Reason.SOURCE_UNAVAILABLE, f"{source.label}: {error}") from error
    except UnusableCredentials as error:
        message = f"{source.label}: its Secret cannot be used: {error}"
        raise AdapterError(Reason.INVALID_SECRET, message, transient=True) from error
