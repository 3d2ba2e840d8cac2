"""How much memory of the host this process may still take."""

from pathlib import Path
from typing import Final

_MEMORY: Final = Path("/proc/meminfo")
# Of the container, where cgroups are of version 2.
_CGROUP: Final = Path("/sys/fs/cgroup")


def available_bytes(memory: Path = _MEMORY, cgroup: Path = _CGROUP) -> int:
    """What the kernel says that a process can take without swapping, and what the container's limit leaves where that
    is less; 0 where nothing says it."""
    left = _left_of_limit(cgroup)
    free = _free_of_host(memory)
    return free if left is None else min(free, left)


def _free_of_host(memory: Path) -> int:
    try:
        lines = dict(line.split(":", 1) for line in memory.read_text().splitlines())
        return int(lines["MemAvailable"].split()[0]) * 1024
    except (OSError, KeyError, ValueError, IndexError):
        return 0


def _left_of_limit(cgroup: Path) -> int | None:
    """None where there is no limit, or nothing tells. Pages of files that nobody uses do not count: they go first."""
    try:
        limit = int((cgroup / "memory.max").read_text())
        taken = int((cgroup / "memory.current").read_text())
        figures = dict(line.split() for line in (cgroup / "memory.stat").read_text().splitlines())
        return max(0, limit - taken + int(figures["inactive_file"]))
    except (OSError, KeyError, ValueError):
        return None
