"""Files that large bodies lie in: bounded together, without a name, gone with the process."""

import os
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from lorapool_gateway.errors import Busy

MAX_DISK_BYTES: Final = 2 << 30
_PIECE_BYTES: Final = 1 << 20


class Disk:
    """A folder for files that hold so many bytes together, and no more."""

    def __init__(self, folder: Path, max_bytes: int = MAX_DISK_BYTES) -> None:
        self.folder = folder
        self._max_bytes = max_bytes
        self._bytes = 0
        self._lock = threading.Lock()

    @property
    def size_bytes(self) -> int:
        """What all files hold now."""
        return self._bytes

    @contextmanager
    def file(self) -> Iterator["SpoolFile"]:
        """A new file. Raises: Busy, where the folder takes none."""
        try:
            opened = SpoolFile(self)
        except OSError as error:
            raise _no_room(error) from error
        try:
            yield opened
        finally:
            opened.close()

    def take(self, size_bytes: int) -> None:
        """Count so many more, or fewer. Raises: Busy, where that is too much."""
        with self._lock:
            if size_bytes > 0 and self._bytes + size_bytes > self._max_bytes:
                raise Busy("the gateway holds as many large requests as it has room for")
            self._bytes += size_bytes


class SpoolFile:
    """A file to be written at its end and read anywhere, by one thread at a time. It has no name: nobody else opens it,
    and nothing stays of it when the process ends."""

    def __init__(self, disk: Disk) -> None:
        """Raises: OSError."""
        self._disk = disk
        self._file = tempfile.TemporaryFile(dir=disk.folder, buffering=0)  # noqa: SIM115 -- closed by `close`
        self._lock = threading.Lock()
        self.size_bytes = 0

    def append(self, data: bytes | memoryview) -> int:
        """Write all of it; where it begins. Raises: Busy, where there is no room."""
        view, written = memoryview(data), 0
        with self._lock:
            if self._file.closed:
                raise Busy("the request has ended")
            self._disk.take(len(view))
            start = self.size_bytes
            self.size_bytes += len(view)
            try:
                while written < len(view):
                    written += os.pwrite(self._file.fileno(), view[written : written + _PIECE_BYTES], start + written)
            except OSError as error:
                raise _no_room(error) from error
        return start

    def read(self, start: int, size_bytes: int) -> bytes:
        """Raises: OSError, where so much is not there, or the file is closed."""
        with self._lock:
            if self._file.closed:
                # Its number may be another file's by now.
                raise OSError("the file is closed")
            data = os.pread(self._file.fileno(), size_bytes, start)
        if len(data) != size_bytes:
            raise OSError("the file is shorter than what was written to it")
        return data

    def close(self) -> None:
        """Give its room back."""
        with self._lock:
            if self._file.closed:
                return
            self._file.close()
        self._disk.take(-self.size_bytes)


def _no_room(error: OSError) -> Busy:
    return Busy(f"the gateway has no room for large requests: {error.strerror}")
