"""The token by which the pods of a pool know each other; where no calls are signed, the operator's too."""

from pathlib import Path


class ControlToken:
    """The token as it is now: what the operator told last, or what is in the pod's file.

    The Secret behind a file can be replaced. A call that finds the file as it was before takes as long as one look at
    its attributes, which the kernel has in memory.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self._seen: tuple[int, int, int] | None = None
        self._token = ""
        self._given: str | None = None

    def tell(self, token: str | None) -> None:
        """From now on it is this one; None: the one in the file."""
        self._given = token

    def __call__(self) -> str:
        """The token; empty where there is none."""
        return self._in_file() if self._given is None else self._given

    def _in_file(self) -> str:
        try:
            status = self._file.stat()
            seen = (status.st_mtime_ns, status.st_ino, status.st_size)
            if seen != self._seen:
                self._token, self._seen = self._file.read_text().strip(), seen
        except OSError:
            self._token, self._seen = "", None
        return self._token
