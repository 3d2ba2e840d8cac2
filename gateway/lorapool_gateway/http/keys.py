"""API keys from a folder of files, as Kubernetes mounts a Secret: the value of each key of it is one API key."""

import base64
import binascii
import hashlib
import hmac
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

import structlog

from lorapool_gateway.errors import Unauthorized

log = structlog.get_logger(__name__)

FRESH_S: Final = 2.0


class ApiKeys:
    """The keys that are valid now. Without a folder everyone may ask; with an empty one nobody may."""

    def __init__(self, folder: Path | None, clock: Callable[[], float] = time.monotonic) -> None:
        self._folder = folder
        self._clock = clock
        self._digests: tuple[bytes, ...] = ()
        self._read_at = float("-inf")

    def check(self, headers: Mapping[str, str]) -> bytes:
        """Whose valid key the headers hold, as its digest; empty where everyone may ask. All are compared, each in
        constant time.

        A key is a Bearer token, the password of `Basic` (clients of A1111 know no other way), or `x-api-key`.

        Raises:
            Unauthorized
        """
        if self._folder is None:
            return b""
        given = _digest(_key_in(headers))
        matches = [hmac.compare_digest(given, valid) for valid in self._current(self._folder)]
        if not any(matches):
            raise Unauthorized
        return given

    def _current(self, folder: Path) -> tuple[bytes, ...]:
        """The keys, read anew when they are older than a moment: Kubernetes renews the files of a changed Secret."""
        if self._clock() - self._read_at >= FRESH_S:
            self._read_at = self._clock()
            self._digests = _read(folder, self._digests)
        return self._digests


def _read(folder: Path, before: tuple[bytes, ...]) -> tuple[bytes, ...]:
    """The keys in the folder; those from before where it cannot be read just now."""
    try:
        # Kubernetes keeps the versions of a Secret in hidden folders beside the links to the current one.
        texts = [file.read_text().strip() for file in sorted(folder.iterdir()) if not file.name.startswith(".")]
    except (OSError, UnicodeDecodeError) as error:
        log.warning("API keys cannot be read", error=str(error))
        return before
    return tuple(_digest(text) for text in texts if text)


def _key_in(headers: Mapping[str, str]) -> str:
    """The key that was sent; empty where none was, which no file of a Secret stands for."""
    scheme, _, sent = headers.get("authorization", "").partition(" ")
    match scheme.lower():
        case "bearer":
            return sent.strip()
        case "basic":
            try:
                return base64.b64decode(sent.strip(), validate=True).decode().partition(":")[2]
            except (binascii.Error, UnicodeDecodeError, ValueError):
                return ""
    return "" if scheme else headers.get("x-api-key", "").strip()


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).digest()
