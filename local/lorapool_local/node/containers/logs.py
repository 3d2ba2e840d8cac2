"""Logs of containers: one file per run, in the format of the container runtimes, bounded in size."""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

_MAX_BYTES = 10 * 2**20
_MAX_LINE = 16 * 2**10
_CHUNK = 2**16
_POLL_S = 0.1


def log_file(pod_dir: Path, container: str, restart_count: int) -> Path:
    return pod_dir / "logs" / container / f"{restart_count}.log"


def rotated(path: Path) -> Path:
    """Where the older half of a long log is."""
    return path.with_suffix(".log.1")


class LogWriter:
    """Appends lines as `TIME STREAM F|P TEXT`; keeps between one and two times the bound."""

    def __init__(self, path: Path, max_bytes: int = _MAX_BYTES) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path = path
        self._max_bytes = max_bytes
        self._file = path.open("ab", buffering=0)
        self._size = self._file.tell()

    def write(self, stream: str, line: bytes, *, whole: bool = True) -> None:
        time = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f000Z")
        entry = f"{time} {stream} {'F' if whole else 'P'} ".encode() + line + b"\n"
        if self._size + len(entry) > self._max_bytes:
            self._rotate()
        self._file.write(entry)
        self._size += len(entry)

    def close(self) -> None:
        self._file.close()

    def _rotate(self) -> None:
        self._file.close()
        self._path.replace(rotated(self._path))
        self._file = self._path.open("ab", buffering=0)
        self._size = 0


async def copy_lines(reader: asyncio.StreamReader, stream: str, writer: LogWriter) -> None:
    """Copy a stream into a log until it ends. Lines that are too long are split."""
    rest = b""
    while chunk := await reader.read(_CHUNK):
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            writer.write(stream, line)
        while len(rest) > _MAX_LINE:
            writer.write(stream, rest[:_MAX_LINE], whole=False)
            rest = rest[_MAX_LINE:]
    if rest:
        writer.write(stream, rest)


@dataclass(frozen=True)
class LogQuery:
    """What a reader wants, in the terms of `kubectl logs`."""

    follow: bool = False
    timestamps: bool = False
    tail_lines: int | None = None
    since: datetime | None = None
    limit_bytes: int | None = None


async def read_log(path: Path, query: LogQuery, is_over: Callable[[], bool]) -> AsyncIterator[bytes]:
    """The log as its reader wants it. Following ends when `is_over` and everything was read."""
    sent = 0
    async for text in _lines(path, query, is_over):
        if query.limit_bytes is not None and sent + len(text) > query.limit_bytes:
            yield text[: query.limit_bytes - sent]
            return
        sent += len(text)
        yield text


async def _lines(path: Path, query: LogQuery, is_over: Callable[[], bool]) -> AsyncIterator[bytes]:
    older = rotated(path).read_bytes() if rotated(path).exists() else b""
    with path.open("rb") as file:
        present = (older + file.read()).split(b"\n")
        partial = present.pop()
        wanted = [entry for entry in present if _is_wanted(entry, query)]
        if query.tail_lines is not None:
            wanted = wanted[-query.tail_lines :] if query.tail_lines else []
        for entry in wanted:
            yield _shown(entry, query)
        while query.follow:
            over = is_over()
            *entries, partial = (partial + file.read()).split(b"\n")
            for entry in entries:
                yield _shown(entry, query)
            if over and not entries:
                return
            await asyncio.sleep(0 if entries else _POLL_S)


def _is_wanted(entry: bytes, query: LogQuery) -> bool:
    if query.since is None:
        return True
    time = entry.split(b" ", 1)[0].decode()
    return datetime.fromisoformat(time[:26] + "+00:00") >= query.since


def _shown(entry: bytes, query: LogQuery) -> bytes:
    time, _, tag, text = entry.split(b" ", 3)
    end = b"\n" if tag == b"F" else b""
    return (time + b" " + text if query.timestamps else text) + end


def remove_old_logs(folder: Path, container: str, restart_count: int) -> None:
    """Keep this run's log and the one before it, for `kubectl logs --previous`."""
    for path in (folder / "logs" / container).glob("*.log*"):
        number = path.name.split(".")[0]
        if number.isdigit() and int(number) < restart_count - 1:
            path.unlink(missing_ok=True)


def last_lines(path: Path, lines: int = 80, max_bytes: int = 2048) -> str:
    """The end of a log without times: what a container said before it failed."""
    try:
        entries = path.read_bytes().split(b"\n")[:-1][-lines:]
    except FileNotFoundError:
        return ""
    text = b"".join(_shown(entry, LogQuery()) for entry in entries)
    return text[-max_bytes:].decode(errors="replace")
