"""How long things took last time on this machine, to say so the next time."""

import json
import threading
from pathlib import Path

from lorapool_common.files import write_atomically


class Durations:
    """Seconds by name, in a small file. A file that cannot be read or written is as if there were none."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._writing = threading.Lock()

    def last(self, name: str) -> float | None:
        seconds = self._read().get(name)
        return float(seconds) if isinstance(seconds, (int, float)) else None

    def remember(self, name: str, seconds: float) -> None:
        with self._writing:
            write_atomically(self._path, json.dumps(self._read() | {name: round(seconds, 1)}))

    def _read(self) -> dict[str, object]:
        try:
            value = json.loads(self._path.read_bytes())
        except (FileNotFoundError, ValueError):
            return {}
        return value if isinstance(value, dict) else {}


def spoken(seconds: float) -> str:
    """`45 s`, `4 min 10 s`."""
    whole = round(seconds)
    return f"{whole} s" if whole < 60 else f"{whole // 60} min {whole % 60} s"
