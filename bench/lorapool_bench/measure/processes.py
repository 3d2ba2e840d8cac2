"""What another process has used so far."""

import os
from pathlib import Path
from typing import Final

_TICKS: Final = os.sysconf("SC_CLK_TCK")


def cpu_s(pid: int) -> float:
    """Seconds in user and kernel mode, without those of its children."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def most_bytes(pid: int) -> int:
    """The most memory that it has had at once, shared pages included."""
    return _memory(pid, "VmHWM:")


def resident_bytes(pid: int) -> int:
    """Its memory now."""
    return _memory(pid, "VmRSS:")


def _memory(pid: int, line: str) -> int:
    rows = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(row.split()[1]) * 1024 for row in rows if row.startswith(line))
