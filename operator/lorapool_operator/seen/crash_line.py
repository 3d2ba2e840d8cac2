"""The one line of a container's last output that says why it ended."""

import json
import re
from collections.abc import Sequence
from typing import Final

MAX_CHARACTERS: Final = 300
_TRACEBACK: Final = "Traceback (most recent call last):"
# Where a traceback's own lines end: the exception at the beginning of a line, `package.Error: why` or `Error`.
_EXCEPTION: Final = re.compile(r"^[A-Za-z_][\w.]*(: |$)")
_FURTHER: Final = re.compile(r"^\s*For further information visit ")


def crash_line(output: str) -> str:
    """What a process said last, in a line.

    Args:
        output: the end of a container's log, or what it wrote to its termination message; may begin within a line.
    """
    lines = [line.rstrip() for line in output.splitlines() if line.strip()]
    if not lines:
        return ""
    said = _of_event(lines[-1]) or _of_traceback(lines) or lines[-1].strip()
    return said if len(said) <= MAX_CHARACTERS else f"{said[: MAX_CHARACTERS - 1]}…"


def _of_event(line: str) -> str | None:
    """A log line in JSON: its event, and the error that goes with it."""
    try:
        event = json.loads(line)
    except ValueError:
        return None
    if not isinstance(event, dict) or not isinstance(event.get("event"), str):
        return None
    error = event.get("error") or event.get("exception") or ""
    error = crash_line(error) if isinstance(error, str) else ""
    return f"{event['event']}: {error}" if error else str(event["event"])


def _of_traceback(lines: Sequence[str]) -> str | None:
    """The exception of the last traceback, with the lines of its message."""
    starts = [i for i, line in enumerate(lines) if line == _TRACEBACK]
    if not starts:
        return None
    ends = [i for i in range(starts[-1] + 1, len(lines)) if _EXCEPTION.match(lines[i])]
    if not ends:
        return None
    message = [line.strip() for line in lines[ends[0] :] if not _FURTHER.match(line)]
    return " ".join(message)
