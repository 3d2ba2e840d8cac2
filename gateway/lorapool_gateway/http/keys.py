"""API keys from a folder of files, as Kubernetes mounts a Secret: the value of each key of it is one API key."""

import hashlib
import hmac
import time
from collections.abc import Callable
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

    def check(self, authorization: str | None) -> bytes:
        """Whose valid key the header holds, as its digest; empty where everyone may ask. All are compared, each in
        constant time. Raises: Unauthorized."""
        if self._folder is None:
            return b""
        scheme, _, key = (authorization or "").partition(" ")
        given = _digest(key.strip())
        matches = [hmac.compare_digest(given, valid) for valid in self._current(self._folder)]
        if scheme.lower() != "bearer" or not any(matches):
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


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).digest()
