"""The token of the pool's control ports, by which operator and pods know each other."""

from pathlib import Path


class ControlToken:
    """The token as it is now: the Secret behind the file can be rotated. A call that finds the file as it was before
    takes as long as one look at its attributes, which the kernel has in memory."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._seen: tuple[int, int, int] | None = None
        self._token = ""

    def __call__(self) -> str:
        """The token; empty where there is none."""
        try:
            status = self._file.stat()
            seen = (status.st_mtime_ns, status.st_ino, status.st_size)
            if seen != self._seen:
                self._token, self._seen = self._file.read_text().strip(), seen
        except OSError:
            self._token, self._seen = "", None
        return self._token
