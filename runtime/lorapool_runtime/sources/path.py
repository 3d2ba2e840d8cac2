"""`path` sources: files on a volume of the pod."""

import errno
import os
import stat
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

from lorapool_api.kinds.conditions import Reason
from lorapool_runtime.errors import AdapterError
from lorapool_runtime.sources.limits import CHUNK_BYTES, Expected, Write, write_hashed

_COPIES: Final = 3
_SHOWN_CHARS: Final = 300
# Nothing can be at such a path; a socket is no file.
_NOT_THERE: Final = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG, errno.ELOOP, errno.ENXIO})


@dataclass(frozen=True)
class Folders:
    """Where files may lie: below a root, and not below what is mounted there besides."""

    roots: Sequence[str]
    hidden: Sequence[str] = ()


def fetch(
    path: str,
    folders: Folders,
    target: Path,
    expected: Expected,
    cancelled: Callable[[], bool],
    write: Write = write_hashed,
) -> str:
    """Copy the file to `target` and return its sha256. The copy is what is checked and used: it cannot change.

    A file that is written to meanwhile would be a mix of two: it is copied again, a few times.

    Raises:
        AdapterError: no such file, or it lies outside of the roots once every link is followed; `SourceUnavailable`
            where it does not come to rest.
    """
    for _ in range(_COPIES):
        with _opened(path, folders) as (file, before):
            if before.st_size > expected.max_bytes:
                expected.check_size(before.st_size)
            try:
                sha256 = write(iter(lambda: file.read(CHUNK_BYTES), b""), target, expected, cancelled)
            except AdapterError:
                if _same(before, os.fstat(file.fileno())):
                    raise
                continue
            if _same(before, os.fstat(file.fileno())):
                return sha256
    raise AdapterError(Reason.SOURCE_UNAVAILABLE, f"{path} is being written to")


def _same(before: os.stat_result, after: os.stat_result) -> bool:
    """Whether nobody has written to the file in between."""
    return (before.st_size, before.st_mtime_ns, before.st_ctime_ns) == (
        after.st_size,
        after.st_mtime_ns,
        after.st_ctime_ns,
    )


def read_sidecar(path: str, name: str, folders: Folders, max_bytes: int) -> bytes | None:
    """The small file of that name in the same folder, or None where there is none.

    Raises:
        AdapterError: there is one, but outside of the roots, or larger than such a file can be.
    """
    try:
        with _opened(str(Path(path).parent / name), folders) as (file, status):
            Expected(None, None, max_bytes).check_size(status.st_size)
            return file.read(max_bytes)
    except AdapterError as error:
        if error.reason is Reason.SOURCE_NOT_FOUND:
            return None
        raise


def real_path(path: str, folders: Folders) -> Path:
    """The file behind all links, which must lie below a root.

    Raises:
        AdapterError: `SourceForbidden` outside of the roots.
    """
    if not folders.roots:
        message = f"{path}: the pool names no volume for path sources (spec.adapters.pathVolumes)"
        raise AdapterError(Reason.SOURCE_FORBIDDEN, message)
    real = Path(os.path.realpath(path))
    roots, hidden = ([Path(os.path.realpath(f)) for f in those] for those in (folders.roots, folders.hidden))
    above = [folder for folder in (*roots, *hidden) if real.is_relative_to(folder)]
    if not above or max(above, key=lambda folder: len(folder.parts)) not in roots:
        below = ", ".join(folders.roots)
        raise AdapterError(Reason.SOURCE_FORBIDDEN, f"{_cut(path)} does not lie below {below}, where adapters lie")
    return real


@contextmanager
def _opened(path: str, folders: Folders) -> Iterator[tuple[BinaryIO, os.stat_result]]:
    real = real_path(path, folders)
    try:
        # O_NONBLOCK: a named pipe in the folder must not hold us for ever.
        handle = os.open(real, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        if error.errno in _NOT_THERE:
            raise AdapterError(Reason.SOURCE_NOT_FOUND, f"{_cut(path)} does not exist in the pod") from error
        raise AdapterError(Reason.SOURCE_FORBIDDEN, f"{_cut(path)} cannot be opened: {error.strerror}") from error
    try:
        status = os.fstat(handle)
        if not stat.S_ISREG(status.st_mode):
            what = "a folder" if stat.S_ISDIR(status.st_mode) else "not a file"
            raise AdapterError(Reason.SOURCE_NOT_FOUND, f"{path} is {what}; name the file of weights")
        with os.fdopen(handle, "rb", closefd=False) as file:
            yield file, status
    finally:
        os.close(handle)


def _cut(path: str) -> str:
    return path if len(path) <= _SHOWN_CHARS else f"{path[:_SHOWN_CHARS]}..."
