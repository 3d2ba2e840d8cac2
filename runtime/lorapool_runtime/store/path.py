"""`path` sources: files on a volume of the pod."""

import os
import stat
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from lorapool_api.conditions import Reason
from lorapool_runtime.errors import AdapterError
from lorapool_runtime.store.limits import CHUNK_BYTES, Expected, write_hashed


def fetch(path: str, roots: Sequence[str], target: Path, expected: Expected, cancelled: Callable[[], bool]) -> str:
    """Copy the file to `target` and return its sha256. The copy is what is checked and used: it cannot change.

    Raises:
        AdapterError: no such file, or it lies outside of the roots once every link is followed.
    """
    with _opened(path, roots) as (file, size_bytes):
        if size_bytes > expected.max_bytes:
            expected.check_size(size_bytes)
        return write_hashed(iter(lambda: file.read(CHUNK_BYTES), b""), target, expected, cancelled)


def read_beside(path: str, name: str, roots: Sequence[str], max_bytes: int) -> bytes | None:
    """The small file of that name in the same folder, or None where there is none.

    Raises:
        AdapterError: there is one, but outside of the roots, or larger than such a file can be.
    """
    try:
        with _opened(str(Path(path).parent / name), roots) as (file, size_bytes):
            Expected(None, None, max_bytes).check_size(size_bytes)
            return file.read(max_bytes)
    except AdapterError as error:
        if error.reason is Reason.SOURCE_NOT_FOUND:
            return None
        raise


def real_path(path: str, roots: Sequence[str]) -> Path:
    """The file behind all links, which must lie below a root.

    Raises:
        AdapterError: `SourceForbidden` outside of the roots, `SourceNotFound` where nothing is.
    """
    if not roots:
        raise AdapterError(Reason.SOURCE_FORBIDDEN, f"{path}: the pool's pods mount no volume for path sources")
    real = Path(os.path.realpath(path))
    if not any(real.is_relative_to(os.path.realpath(root)) for root in roots):
        below = ", ".join(roots)
        raise AdapterError(Reason.SOURCE_FORBIDDEN, f"{path} does not lie below {below}, where pods mount files")
    if not real.exists():
        raise AdapterError(Reason.SOURCE_NOT_FOUND, f"{path} does not exist in the pod")
    return real


@contextmanager
def _opened(path: str, roots: Sequence[str]) -> Iterator[tuple[BinaryIO, int]]:
    real = real_path(path, roots)
    try:
        # O_NONBLOCK: a named pipe in the folder must not hold us for ever.
        handle = os.open(real, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError as error:
        raise AdapterError(Reason.SOURCE_NOT_FOUND, f"{path} does not exist in the pod") from error
    except OSError as error:
        raise AdapterError(Reason.SOURCE_FORBIDDEN, f"{path} cannot be opened: {error.strerror}") from error
    with os.fdopen(handle, "rb") as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise AdapterError(Reason.SOURCE_NOT_FOUND, f"{path} is not a file")
        yield file, status.st_size
