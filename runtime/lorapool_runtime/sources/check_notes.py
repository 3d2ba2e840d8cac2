"""What is known of blobs from earlier processes, so that a restarted pod need not read all of them before it serves.

A note is a hint and no proof: whoever can write to the folder can write notes as well. It lets an adapter be READY
before its file was read whole by this process. Before the first use the file is hashed and checked all the same.
"""

import json
import os
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from lorapool_common.files import write_atomically

CONTENT: Final = "sha256"
FINITE: Final = "finite"


class CheckNotes:
    """One note per content. Several processes may share the folder; of two that write at once one is forgotten."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def passed(self, blob: Path, test: str) -> bool:
        """Whether the file, just as it lies there now, has passed that test."""
        try:
            note, mark = self._read(blob), _mark(blob)
        except FileNotFoundError:
            return False
        return note.get("mark") == mark and test in note.get("tests", ())

    def note(self, blob: Path, test: str) -> None:
        """Remember it. What cannot be written is tested again by the next process."""
        with suppress(OSError):
            tests = {str(name) for name in self._read(blob).get("tests", ())} | {test}
            note = {"mark": _mark(blob), "tests": sorted(tests)}
            write_atomically(self._folder / blob.name, json.dumps(note).encode(), durable=False)

    def forget(self, blob: Path) -> None:
        with suppress(OSError):
            (self._folder / blob.name).unlink(missing_ok=True)

    def _read(self, blob: Path) -> dict[str, Any]:
        try:
            note = json.loads((self._folder / blob.name).read_bytes())
        except (OSError, ValueError):
            return {}
        return note if isinstance(note, dict) and isinstance(note.get("tests"), list) else {}


def _mark(blob: Path) -> list[int]:
    """Changes when somebody writes to the file or puts another one in its place."""
    status: os.stat_result = blob.stat()
    return [status.st_size, status.st_mtime_ns, status.st_ino]
