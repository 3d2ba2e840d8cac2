"""How an object store is asked, and what its answers mean for a source: for the operator and the pods alike."""

import re
from collections.abc import Collection, Mapping
from functools import partial
from typing import Final
from urllib.parse import urlsplit

from lorapool_api.fetch.hosts import may_carry_credentials
from lorapool_api.fetch.policy import SourceRefused, UrlFetch, refused_by_status
from lorapool_api.kinds.conditions import Reason

_CHANGED: Final = 412
_BAD_REQUEST: Final = 400
_MISSING: Final = 404
_REFUSED: Final = frozenset({401, 403})
_MOVED: Final = frozenset({301, 307})
_CODE: Final = re.compile(r"[A-Za-z0-9_]{1,64}")
_REGION: Final = re.compile(r"[a-z0-9-]{1,32}")
_NOT_PUBLIC: Final = "PublicAccessNotPermitted"
_LONGEST_ETAG: Final = 128


def object_fetch(url: str, shown: str, hosts: Collection[str], *, is_provider: bool, is_signed: bool) -> UrlFetch:
    """A fetch of the object at that address.

    Args:
        shown: names the object in messages.
        hosts: those of `lorapool_api.fetch.hosts`.
        is_provider: the address is the provider's own, which needs no entry in the list; a private address does.
        is_signed: whoever has the address may read the object.

    Raises:
        SourceRefused: `SourceForbidden` where a signature would go there that everybody on the way can read.
    """
    if is_signed and urlsplit(url).scheme == "http" and not may_carry_credentials(url, hosts):
        message = f"{shown}: it is read with credentials by https only, or from a host allowed as http://HOST:PORT"
        raise SourceRefused(Reason.SOURCE_FORBIDDEN, message)
    allowed = (urlsplit(url).netloc, *hosts) if is_provider else hosts
    return UrlFetch(url, allowed, shown=shown, refusal=partial(refused_by_store, shown))


def refused_by_store(shown: str, status: int, headers: Mapping[str, str]) -> SourceRefused:
    """The refusal that an answer of a store with that status is; `shown` names the object."""
    code = _word(_CODE, headers.get("x-ms-error-code", ""))
    region = _word(_REGION, headers.get("x-amz-bucket-region", ""))
    if status == _CHANGED:
        return changed(shown)
    if region and (status in _MOVED or status == _BAD_REQUEST):
        return SourceRefused(
            Reason.SOURCE_NOT_FOUND, f"{shown}: the bucket is in region {region}; set source.s3.region"
        )
    if status in _REFUSED or code == _NOT_PUBLIC:
        text = f"{shown}: the store answered HTTP {status}{f' ({code})' if code else ''}: whoever asks may not read it"
        return SourceRefused(Reason.SOURCE_FORBIDDEN, f"{text}, or there is no such object and no right to list others")
    if status == _BAD_REQUEST:
        text = f"{shown}: the store answered HTTP 400: credentials that have ended, or of another region"
        return SourceRefused(Reason.SOURCE_FORBIDDEN, text)
    if status == _MISSING:
        return SourceRefused(Reason.SOURCE_NOT_FOUND, f"{shown}: there is no such object")
    return refused_by_status(f"{shown}: the store", status, headers)


def changed(shown: str) -> SourceRefused:
    """The refusal of an object that is not the one any more that was looked at."""
    text = f"{shown} has another content than when it was looked at; the annotation lorapool.dev/refresh looks again"
    return SourceRefused(Reason.CHECKSUM_MISMATCH, text)


def strong_etag(headers: Mapping[str, str]) -> str | None:
    """The answer's ETag without its quotes, if it says which bytes these are (RFC 9110, 8.8.3)."""
    text = headers.get("etag", "")
    if not 2 < len(text) <= _LONGEST_ETAG or text[0] != '"' or text[-1] != '"':
        return None
    etag = text[1:-1]
    return etag if etag.isascii() and etag.isprintable() and '"' not in etag else None


def _word(pattern: re.Pattern[str], text: str) -> str:
    return text if pattern.fullmatch(text) else ""
