"""What every source must keep to while a file comes in."""

import hashlib
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from lorapool_api.kinds.conditions import Reason
from lorapool_runtime.errors import AdapterError

CHUNK_BYTES: Final = 1024 * 1024
# A server that drips bytes is given up: this long to begin with, and then so fast on average.
_PATIENCE_S: Final = 60.0
_SLOWEST_BYTES_PER_S: Final = 100_000


@dataclass(frozen=True)
class Expected:
    """What is known of a file before it is read.

    Attributes:
        sha256, size_bytes: what it must be; None where nobody said.
        max_bytes: what the pool takes at most.
    """

    sha256: str | None
    size_bytes: int | None
    max_bytes: int

    def check_size(self, size_bytes: int) -> None:
        """Raises: AdapterError when the file is larger than the pool takes, or another one than announced."""
        if size_bytes > self.max_bytes:
            message = f"the file has {size_bytes} bytes; the pool takes at most {self.max_bytes}"
            raise AdapterError(Reason.FILE_TOO_LARGE, message)
        if self.size_bytes is not None and size_bytes != self.size_bytes:
            message = f"the file has {size_bytes} bytes; {self.size_bytes} were announced"
            raise AdapterError(Reason.CHECKSUM_MISMATCH, message)

    def check_sha256(self, sha256: str) -> None:
        """Raises: AdapterError when the content is not the expected one."""
        if self.sha256 is not None and sha256 != self.sha256:
            message = f"the file's sha256 is {sha256}; expected {self.sha256}"
            raise AdapterError(Reason.CHECKSUM_MISMATCH, message)


# Whether nobody wants the file any more.
Cancelled = Callable[[], bool]


def never() -> bool:
    """It is wanted until it is there."""
    return False


# `write_hashed`, or what does the same.
Write = Callable[[Iterable[bytes], Path, "Expected", Callable[[], bool]], str]


def too_slow(elapsed_s: float, received_bytes: int) -> bool:
    """Whether a download takes longer than anybody can want."""
    return elapsed_s > _PATIENCE_S + received_bytes / _SLOWEST_BYTES_PER_S


def write_hashed(
    chunks: Iterable[bytes],
    target: Path,
    expected: Expected,
    cancelled: Callable[[], bool],
    clock: Callable[[], float] = time.monotonic,
) -> str:
    """Write the chunks to the file, within the limits, and return their sha256.

    Raises:
        AdapterError: too large, too slow, not wanted any more, or another content than expected.
    """
    digest, size_bytes, start = hashlib.sha256(), 0, clock()
    with target.open("wb") as file:
        for chunk in chunks:
            size_bytes += len(chunk)
            if size_bytes > expected.max_bytes:
                expected.check_size(size_bytes)
            if cancelled():
                raise AdapterError(Reason.SOURCE_UNAVAILABLE, "no longer wanted")
            if too_slow(clock() - start, size_bytes):
                message = f"the server sent {size_bytes} bytes in {clock() - start:.0f} s: too slow"
                raise AdapterError(Reason.SOURCE_UNAVAILABLE, message)
            file.write(chunk)
            digest.update(chunk)
    # The checksum first: where both differ it is what the person asked for.
    expected.check_sha256(digest.hexdigest())
    expected.check_size(size_bytes)
    return digest.hexdigest()
