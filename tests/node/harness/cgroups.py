"""The control groups that the kubelet puts its pods into, in every hierarchy that this machine has."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from tests.waiting import wait_until

_ROOT: Final = Path("/sys/fs/cgroup")
_PATIENCE_S: Final = 10.0


@contextlib.contextmanager
def cgroup(name: str) -> Iterator[str]:
    """A group of this name for the length of the block; what was made below it goes with it."""
    for hierarchy in _hierarchies():
        (hierarchy / name).mkdir(exist_ok=True)
    try:
        yield f"/{name}"
    finally:
        remove(name)


def remove(name: str) -> None:
    """Remove the group, once the kernel has done with the processes that were in it."""
    with contextlib.suppress(AssertionError):  # what is left is removed before the next run
        wait_until(lambda: all(_removed(hierarchy / name) for hierarchy in _hierarchies()), deadline_s=_PATIENCE_S)


def names_like(prefix: str) -> set[str]:
    return {path.name for hierarchy in _hierarchies() for path in hierarchy.glob(f"{prefix}*")}


def _hierarchies() -> list[Path]:
    """The one of version 2, or those of version 1: one for each controller."""
    if (_ROOT / "cgroup.controllers").exists():
        return [_ROOT]
    return [path for path in _ROOT.iterdir() if path.is_dir() and not path.is_symlink() and os.path.ismount(path)]


def _removed(group: Path) -> bool:
    for folder, _, _ in os.walk(group, topdown=False):
        with contextlib.suppress(OSError):
            Path(folder).rmdir()
    return not group.exists()
