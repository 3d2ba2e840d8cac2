"""How long things took last time, kept in the cache: what a person is told to expect."""

import json
from pathlib import Path

from lorapool_local.files import write_atomically


class Durations:
    """Seconds by name. A file that cannot be read counts as empty: it only words expectations."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def expectation(self, what: str, usually_s: float) -> str:
        """`last time 12 s`, or `usually 20 s` where nothing is remembered."""
        known = self._read().get(what)
        return f"usually {usually_s:.0f} s" if known is None else f"last time {known:.1f} s"

    def remember(self, what: str, took_s: float) -> None:
        self._file.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(self._file, json.dumps(self._read() | {what: round(took_s, 1)}, indent=2))

    def _read(self) -> dict[str, float]:
        try:
            known = json.loads(self._file.read_text())
        except (OSError, ValueError):
            return {}
        return {k: v for k, v in known.items() if isinstance(v, int | float)} if isinstance(known, dict) else {}
