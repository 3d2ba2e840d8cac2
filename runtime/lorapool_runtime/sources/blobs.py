"""Files on disk by the sha256 of their content. Several processes, and pods, may share the folder."""

import hashlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from filelock import FileLock, Timeout

from lorapool_api.kinds.conditions import Reason
from lorapool_api.wire.sources.any import FileSource
from lorapool_common.files import write_atomically
from lorapool_runtime.errors import AdapterError
from lorapool_runtime.sources.check_notes import CONTENT, CheckNotes

# Longer than any download may take: whoever holds a lock longer than that has lost its way.
LOCK_TIMEOUT_S: Final = 1800.0
_ABANDONED_AFTER_S: Final = 86_400.0


@dataclass(frozen=True)
class Blob:
    """A whole file in the folder; its name is its sha256."""

    path: Path
    sha256: str
    size_bytes: int


class BlobFolder:
    """`blobs/<sha256>` for content, `refs/<source>` for what an address turned out to be, `tmp/` on the way there.

    With a bound, the blobs that were least recently used leave when a new one comes, those of adapters that nobody
    declared first (`first-out/<sha256>`); the time of the last use is the
    file's time of access, so that all processes on the folder agree. One that has left is fetched again when it is
    wanted.

    Attributes:
        evictions: how many this process has deleted so far because others needed the room.
    """

    def __init__(self, root: Path, bound_bytes: int | None = None, hasher: Callable[[Path], str] | None = None) -> None:
        """`hasher` gives a file's sha256."""
        self.root = root
        self._hash = hasher or hash_file
        self._bound_bytes = bound_bytes
        self._blobs = root / "blobs"
        self._refs = root / "refs"
        self._locks = root / "locks"
        self._tmp = root / "tmp"
        self._first_out = root / "first-out"
        for folder in (self._blobs, self._refs, self._locks, self._tmp, self._first_out):
            folder.mkdir(parents=True, exist_ok=True)
        self.notes = CheckNotes(root / "checked")
        self._verified: set[str] = set()
        self.evictions = 0
        self._sweep()

    def find(self, sha256: str) -> Blob | None:
        """The blob. Its content was proved by this process or, as a note of an earlier one says, by that: `prove` it
        before it is used. What does not prove true is deleted.
        """
        path = self._blobs / sha256
        try:
            size_bytes = path.stat().st_size
            if sha256 not in self._verified and not self.notes.passed(path, CONTENT):
                self.prove(sha256)
        except FileNotFoundError:  # never there, damaged, or it made room for another process's file
            return None
        self._touch(path)
        return Blob(path, sha256, size_bytes)

    def prove(self, sha256: str) -> bool:
        """Hash the blob, once per process; whether it was done now.

        Raises:
            FileNotFoundError: it is not here, or it was damaged and has been deleted.
        """
        if sha256 in self._verified:
            return False
        path = self._blobs / sha256
        if self._hash(path) != sha256:
            self.drop(sha256)
            raise FileNotFoundError(path)
        self._verified.add(sha256)
        self.notes.note(path, CONTENT)
        return True

    def adopt(self, file: Path, sha256: str) -> Blob:
        """Move a finished file of that content into the folder; the move is atomic."""
        target = self._blobs / sha256
        with file.open("rb") as handle:
            os.fsync(handle.fileno())
        blob = Blob(target, sha256, file.stat().st_size)
        # Young before it is there: another process that makes room must not take it for an old one.
        self._touch(file)
        file.replace(target)
        self._verified.add(sha256)
        self.notes.note(target, CONTENT)
        self._make_room(keep=target)
        return blob

    def trust(self, sha256: str) -> None:
        """Another process of this pod has proved the blob."""
        self._verified.add(sha256)

    def drop(self, sha256: str) -> None:
        """Delete a file that turned out to be unusable: it must leave no trace."""
        self._verified.discard(sha256)
        self.notes.forget(self._blobs / sha256)
        (self._blobs / sha256).unlink(missing_ok=True)
        self.leave_first(sha256, is_first=False)

    def leave_first(self, sha256: str, *, is_first: bool) -> None:
        """Whether it is among those that leave before all others."""
        note = self._first_out / sha256
        with suppress(OSError):
            note.touch() if is_first else note.unlink(missing_ok=True)

    def _touch(self, path: Path) -> None:
        """It was used now. The time of modification stays: it tells a file that somebody wrote to."""
        with suppress(OSError):
            os.utime(path, ns=(time.time_ns(), path.stat().st_mtime_ns))

    def _make_room(self, keep: Path) -> None:
        """Within the bound again, if that can be without the newest one."""
        if self._bound_bytes is None:
            return
        found = []
        for path in self._blobs.iterdir():
            with suppress(FileNotFoundError):  # another process makes room too
                status = path.stat()
                stays = not (self._first_out / path.name).exists()
                found.append((stays, status.st_atime_ns, status.st_size, path))
        size_bytes = sum(size for *_, size, _ in found)
        for *_, size, path in sorted(found):
            if size_bytes <= self._bound_bytes:
                return
            if path != keep:
                self.drop(path.name)
                self.evictions += 1
                size_bytes -= size

    # ---- what an address held when it was last read ------------------------------------------------------------

    def remembered(self, source: FileSource) -> str | None:
        """sha256 of what the source held when it was last fetched."""
        with suppress(FileNotFoundError):
            return (self._refs / source_digest(source)).read_text().strip() or None
        return None

    def remember(self, source: FileSource, sha256: str) -> None:
        write_atomically(self._refs / source_digest(source), sha256.encode())

    def forget(self, source: FileSource) -> None:
        (self._refs / source_digest(source)).unlink(missing_ok=True)

    # ---- working space -----------------------------------------------------------------------------------------

    @contextmanager
    def locked(self, name: str) -> Iterator[None]:
        """One thread of one process at a time per name. Raises: AdapterError, where another holds it for too long."""
        try:
            with FileLock(self._locks / f"{name}.lock", timeout=LOCK_TIMEOUT_S):
                yield
        except Timeout as error:
            message = "another process has been fetching the same file for too long"
            raise AdapterError(Reason.SOURCE_UNAVAILABLE, message) from error

    def _sweep(self) -> None:
        """Remove what processes left behind that were killed; others may work in younger folders."""
        for folder in self._tmp.iterdir():
            with suppress(FileNotFoundError):
                if time.time() - folder.stat().st_mtime > _ABANDONED_AFTER_S:
                    shutil.rmtree(folder, ignore_errors=True)

    @contextmanager
    def working_folder(self) -> Iterator[Path]:
        """A folder on the same file system as the blobs; gone afterwards, whatever happened."""
        with tempfile.TemporaryDirectory(dir=self._tmp, ignore_cleanup_errors=True) as folder:
            yield Path(folder)


def hash_file(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def source_digest(source: FileSource) -> str:
    """A file name for a source."""
    # Without what is not set: notes of an earlier version, which knew fewer fields, count on.
    text = json.dumps(source.model_dump(mode="json", exclude_none=True), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()
