"""The file system that a container sees: the machine's, read-only, with the pod's volumes at their mount paths.

Mount points that the machine lacks must not be created on it. So the root is a fresh tmpfs in which the folders
on the way to a missing mount point are made anew, with their other entries bound in, and everything else is bound
in whole.
"""

import contextlib
import errno
import os
from collections.abc import Iterator
from typing import NamedTuple, Protocol

from lorapool_local.sandbox import syscalls

TMP = "/tmp"  # noqa: S108 -- the container's own, never the machine's
_QUIET = syscalls.MS_NOSUID | syscalls.MS_NODEV


class Mount(NamedTuple):
    """A file or folder of the machine at a path of the container."""

    source: str
    target: str
    read_only: bool


class View(NamedTuple):
    """What the container is to see. All paths are absolute and free of symbolic links."""

    mounts: tuple[Mount, ...]
    opaque: frozenset[str] = frozenset()
    """Folders of the machine whose content the container does not see."""
    kept: frozenset[str] = frozenset()
    """What it sees all the same, below an opaque folder."""


class Tree(Protocol):
    """The machine's files, as far as `plan` asks."""

    def names(self, folder: str) -> list[str]:
        """The entries of a folder; none where there is no such folder."""
        ...

    def link(self, path: str) -> str | None:
        """Where a symbolic link points; None for anything else."""
        ...

    def exists(self, path: str) -> bool: ...


class RootStep(NamedTuple):
    """One thing to make in the new root. (Named tuples of different classes would be equal: so it is one class.)"""

    action: str
    path: str
    target: str = ""


def make_folder(path: str) -> RootStep:
    return RootStep("folder", path)


def make_link(path: str, target: str) -> RootStep:
    return RootStep("link", path, target)


def bind(path: str) -> RootStep:
    return RootStep("bind", path)


def plan(view: View, tree: Tree) -> Iterator[RootStep]:
    """The steps that make the new root, parents before their children."""
    return _Planner(view, tree).steps("/")


class _Planner:
    """Derives which folders must be made anew so that every mount point exists, and steps through them."""

    def __init__(self, view: View, tree: Tree) -> None:
        self.view = view
        self.tree = tree
        self.opened = {"/"}
        for folder in self.view.opaque:
            self.opened.update({folder, *_ancestors(folder)})
        for path in self.view.kept:
            folder = os.path.dirname(path)
            self.opened.update(_ancestors(path) if folder in self.view.opaque or self._is_hidden(folder) else ())
        for mount in self.view.mounts:
            if self._is_hidden(mount.target) or not self.tree.exists(mount.target):
                self.opened.update(_ancestors(mount.target))

    def steps(self, folder: str) -> Iterator[RootStep]:
        yield make_folder(folder)
        shown = {_join(folder, name) for name in self._shown(folder)}
        for path in sorted(shown):
            if path in self.opened:
                yield from self.steps(path)
            elif (target := self.tree.link(path)) is not None:
                yield make_link(path, target)
            else:
                yield bind(path)
        for path in sorted(p for p in self.opened if p != "/" and os.path.dirname(p) == folder):
            if path not in shown:
                yield from self.steps(path)
        for path in sorted(p for p in self.view.kept if os.path.dirname(p) == folder):
            if path not in shown and path not in self.opened:
                yield bind(path)

    def _shown(self, folder: str) -> list[str]:
        return [] if folder in self.view.opaque or self._is_hidden(folder) else self.tree.names(folder)

    def _is_hidden(self, path: str) -> bool:
        """Below an opaque folder, and not below something kept."""
        for above in (path, *_ancestors(path)):
            if above in self.view.kept:
                return False
            if above in self.view.opaque and above != path:
                return True
        return False


class HostTree:
    """The files of this machine."""

    def names(self, folder: str) -> list[str]:
        try:
            return os.listdir(folder)
        except (FileNotFoundError, NotADirectoryError, PermissionError):
            return []

    def link(self, path: str) -> str | None:
        return os.readlink(path) if os.path.islink(path) else None

    def exists(self, path: str) -> bool:
        return os.path.exists(path)


def build(root: str, view: View, *, writable_tmp: bool) -> None:
    """Mount the container's root at `root`, a folder. To be called in a mount namespace of its own."""
    syscalls.mount(None, "/", None, syscalls.MS_REC | syscalls.MS_PRIVATE)
    syscalls.mount("lorapool", root, "tmpfs", _QUIET, "mode=755,size=16m")
    for step in plan(view, HostTree()):
        _carry_out(root, step)
    mounts = sorted(view.mounts, key=lambda mount: mount.target)
    for mount in mounts:
        _make_mount_point(root + mount.target, mount.source)
    _make_read_only(root)
    if writable_tmp:
        _make_writable(root + TMP)
    _mount_kernel_files(root)
    for mount in mounts:
        _mount_volume(root, mount)


def _carry_out(root: str, step: RootStep) -> None:
    path = root + step.path
    if step.action == "link":
        os.symlink(step.target, path)
    elif step.action == "folder":
        with contextlib.suppress(FileExistsError):
            os.mkdir(path)
        if step.path == TMP:
            syscalls.mount("tmp", path, "tmpfs", _QUIET, "mode=1777")
    else:
        # What this user may not see, or what has just vanished, the container does not see either.
        with contextlib.suppress(FileNotFoundError, PermissionError):
            _make_mount_point(path, step.path)
            syscalls.mount(step.path, path, None, syscalls.MS_BIND | syscalls.MS_REC)


def _make_mount_point(path: str, source: str) -> None:
    if os.path.lexists(path):
        return
    if os.path.isdir(source):
        # Exists below a volume that is mounted later, or on a part of the machine that is bound in.
        with contextlib.suppress(OSError):
            os.makedirs(path)
    else:
        with contextlib.suppress(OSError), open(path, "w"):
            pass


def _make_read_only(root: str) -> None:
    try:
        syscalls.make_tree_read_only(root)
    except OSError as error:
        # Kernels before 5.12 cannot: the container may then write where this user may.
        if error.errno != errno.ENOSYS:
            raise


def _make_writable(path: str) -> None:
    """A mount point on its own, without what is mounted below it."""
    syscalls.mount(None, path, None, syscalls.MS_REMOUNT | syscalls.MS_BIND | _QUIET)


def _mount_kernel_files(root: str) -> None:
    # In a container the machine's own /proc may be masked: then a fresh one is refused, and the old one stays.
    with contextlib.suppress(PermissionError):
        syscalls.mount("proc", f"{root}/proc", "proc", _QUIET | syscalls.MS_NOEXEC)
    with contextlib.suppress(FileNotFoundError):
        syscalls.mount("shm", f"{root}/dev/shm", "tmpfs", _QUIET, "mode=1777")  # noqa: S108 -- the container's own


def _mount_volume(root: str, mount: Mount) -> None:
    target = root + mount.target
    _make_mount_point(target, mount.source)
    syscalls.mount(mount.source, target, None, syscalls.MS_BIND | syscalls.MS_REC)
    if mount.read_only:
        _make_read_only(target)


def _ancestors(path: str) -> Iterator[str]:
    while path != "/":
        path = os.path.dirname(path)
        yield path


def _join(folder: str, name: str) -> str:
    return os.path.join(folder, name)
