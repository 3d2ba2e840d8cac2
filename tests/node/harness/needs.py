"""What a machine must have for a real node."""

import os
import shutil
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

PROGRAMS: Final[Mapping[str, str]] = {
    "buildah": "buildah",
    "conntrack": "conntrack",
    "containerd": "containerd",
    "ctr": "containerd",
    "ip": "iproute2",
    "iptables": "iptables",
    "nsenter": "util-linux",
    "runc": "runc",
    "unshare": "util-linux",
}
"""Program to the Debian package that brings it."""

CNI_FOLDERS: Final = (Path("/usr/lib/cni"), Path("/opt/cni/bin"))
CNI_PLUGINS: Final = ("host-local", "loopback", "ptp")
CNI_PACKAGE: Final = "containernetworking-plugins"
_FREE_BYTES: Final = 6 * 2**30


@dataclass(frozen=True)
class Machine:
    """What is asked of the machine, so that a test can answer otherwise."""

    is_root: Callable[[], bool]
    which: Callable[[str], str | None]
    exists: Callable[[Path], bool]
    free_bytes: Callable[[Path], int]
    namespaces_problem: Callable[[], str | None]


THIS_MACHINE: Final = Machine(
    is_root=lambda: os.geteuid() == 0,
    which=shutil.which,
    exists=Path.exists,
    free_bytes=lambda path: shutil.disk_usage(path).free,
    namespaces_problem=lambda: _namespaces_problem(),
)


def cni_folder(machine: Machine = THIS_MACHINE) -> Path | None:
    """The folder that has all network plugins."""
    return next((f for f in CNI_FOLDERS if all(machine.exists(f / plugin) for plugin in CNI_PLUGINS)), None)


def missing(cache: Path, machine: Machine = THIS_MACHINE) -> str | None:
    """What this machine lacks, in one sentence that says what to do; None: nothing."""
    if not machine.is_root():
        return "it starts containers and a network of its own, so it must run as root"
    packages = {package for program, package in PROGRAMS.items() if machine.which(program) is None}
    if cni_folder(machine) is None:
        packages.add(CNI_PACKAGE)
    if packages:
        return f"Debian packages are missing: apt-get install {' '.join(sorted(packages))}"
    if (problem := machine.namespaces_problem()) is not None:
        return f"this machine gives no namespaces and mounts: {problem}"
    if machine.free_bytes(cache) < _FREE_BYTES:
        return f"images and their layers need {_FREE_BYTES // 2**30} GiB of free disk below {cache}"
    return None


def _namespaces_problem() -> str | None:
    """A container without privileges is root too, but may not do this."""
    command = ["unshare", "--net", "--mount", "--pid", "--fork", "--mount-proc", "ip", "link", "set", "lo", "up"]
    tried = subprocess.run(command, capture_output=True, text=True, check=False)
    return None if tried.returncode == 0 else tried.stderr.strip() or f"unshare ended with {tried.returncode}"
