"""API keys from a folder of files, as Kubernetes mounts a Secret: each file is one key, by the name of the file."""

import base64
import binascii
import hmac
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

import structlog

from lorapool_gateway.callers.caller import ANYONE, Caller
from lorapool_gateway.callers.entry import MAX_ENTRY_BYTES, EntryUnusable, digest_of, read_entry, without_twins
from lorapool_gateway.errors import Unauthorized

log = structlog.get_logger(__name__)

FRESH_S: Final = 2.0
# Of a Secret, which has 1 MiB. Each is compared with what a request brings.
MOST_KEYS: Final = 2000

_Contents = tuple[tuple[str, str], ...]


class ApiKeys:
    """The keys that are valid now. Without a folder everyone may ask; with an empty one nobody may."""

    def __init__(self, folder: Path | None, clock: Callable[[], float] = time.monotonic) -> None:
        self._folder = folder
        self._clock = clock
        self._contents: _Contents = ()
        self._callers: tuple[Caller, ...] = ()
        self._read_at = float("-inf")

    def check(self, headers: Mapping[str, str]) -> Caller:
        """Whose valid key the headers hold. All are compared, each in constant time.

        A key is a Bearer token, the password of `Basic` (clients of A1111 know no other way), or `x-api-key`.

        Raises:
            Unauthorized
        """
        if self._folder is None:
            return ANYONE
        given = digest_of(_key_in(headers))
        matches = [caller for caller in self._current(self._folder) if hmac.compare_digest(given, caller.id)]
        if not matches:
            raise Unauthorized
        return matches[0]

    def _current(self, folder: Path) -> tuple[Caller, ...]:
        """The keys, read anew when they are older than a moment: Kubernetes renews the files of a changed Secret."""
        if self._clock() - self._read_at >= FRESH_S:
            self._read_at = self._clock()
            contents = _read(folder, self._contents)
            if contents != self._contents:
                self._contents, self._callers = contents, _callers(contents)
        return self._callers


def _read(folder: Path, before: _Contents) -> _Contents:
    """Name and text of each file; those from before where it cannot be read just now."""
    try:
        # Kubernetes keeps the versions of a Secret in hidden folders beside the links to the current one.
        files = [file for file in sorted(folder.iterdir()) if not file.name.startswith(".")]
        return tuple((file.name, _text(file)) for file in files)
    except OSError as error:
        log.warning("API keys cannot be read", error=str(error))
        return before


def _text(file: Path) -> str:
    """What the file holds; bytes that are no text let nobody in, as nobody can send them."""
    with file.open("rb") as opened:
        return opened.read(MAX_ENTRY_BYTES + 1).decode("utf-8", "replace")


def _callers(contents: _Contents) -> tuple[Caller, ...]:
    """Who may ask. What cannot be read lets nobody in, and leaves the others as they are."""
    read = []
    for name, text in contents[:MOST_KEYS]:
        try:
            if len(text) > MAX_ENTRY_BYTES:
                raise EntryUnusable(f"it has more than {MAX_ENTRY_BYTES} bytes")  # noqa: TRY301 -- one place that logs
            caller = read_entry(name, text)
        except EntryUnusable as error:
            log.warning("an API key is not usable: nobody gets in with it", name=name, error=str(error))
            continue
        if caller is not None:
            read.append(caller)
    if len(contents) > MOST_KEYS:
        log.warning("there are more API keys than are read", keys=len(contents), most=MOST_KEYS)
    callers, twins = without_twins(read)
    if twins:
        log.warning("an API key stands there twice: the first name counts", names=twins)
    log.info("API keys were read", names=[caller.name for caller in callers][:100], keys=len(callers))
    return callers


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
