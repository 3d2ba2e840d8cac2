"""The namespaces that a node lives in: processes, mounts and network of its own, gone when their first process ends.

Within them the node has the usual folders for itself (/run, /var/lib, /var/log lie in the node's folder), so that
nothing of it mixes with a container runtime or a kubelet of the machine, and nothing stays behind.
"""

import asyncio
import contextlib
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psutil
from tests.node.harness.ranges import Families

from lorapool_local.errors import LocalError
from lorapool_local.sandbox import isolated_python

_REAPER: Final = Path(__file__).with_name("reaper.py")
_START_S: Final = 10.0
_OWN_FOLDERS: Final = ("/run", "/var/lib", "/var/log")

# Images, unpacked: 2 GB in very many files. In memory, where there is plenty, they are made and gone quickly.
_IMAGES: Final = "/var/lib/containerd"
_PLENTY_BYTES: Final = 12 * 2**30

# What a kubelet wants to set, for the whole machine. It reads these values instead and leaves the machine alone.
_TUNABLES: Final[Mapping[str, str]] = {
    "vm/overcommit_memory": "1",
    "vm/panic_on_oom": "0",
    "kernel/panic": "10",
    "kernel/panic_on_oops": "1",
    "kernel/keys/root_maxkeys": "1000000",
    "kernel/keys/root_maxbytes": "25000000",
}


class NamespacesFailed(LocalError):
    """The node's namespaces could not be made."""


@dataclass(frozen=True)
class Namespaces:
    """Where the node's programs run."""

    pid: int
    """The first process, as this machine counts."""
    folder: Path

    def command(self, *program: str | Path) -> list[str]:
        """The program, run in these namespaces."""
        return ["/usr/bin/nsenter", f"--target={self.pid}", "--mount", "--net", "--pid", "--", *map(str, program)]

    def run(self, *program: str | Path) -> str:
        """What the program printed; raises `NamespacesFailed` with its error."""
        return _run(*self.command(*program))


@contextlib.asynccontextmanager
async def held(folder: Path) -> AsyncIterator[Namespaces]:
    """Namespaces for the length of the block; every process in them ends with it, however this process ends."""
    process = await asyncio.create_subprocess_exec(
        *isolated_python("lorapool_local.sandbox.tether"),
        str(os.getpid()),
        *("/usr/bin/unshare", "--mount", "--net", "--pid", "--fork", "--kill-child", "--mount-proc"),
        *(sys.executable, "-I", "-S", str(_REAPER)),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        start_new_session=True,
    )
    try:
        space = Namespaces(await _first_process(process), folder)
        _separate(space)
        yield space
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def _first_process(process: asyncio.subprocess.Process) -> int:
    assert process.stdout is not None
    said = await asyncio.wait_for(process.stdout.readline(), _START_S)
    if said.strip() != b"ready":
        raise NamespacesFailed("unshare ended before the node's first process ran")
    (child,) = psutil.Process(process.pid).children()
    return int(child.pid)


def _separate(space: Namespaces) -> None:
    """Folders and kernel settings of the node's own, in its mounts alone."""
    # Volumes of pods may ask for propagation, which needs shared mounts; they are shared with nobody outside.
    space.run("mount", "--make-rshared", "/")
    for place in _OWN_FOLDERS:
        own = space.folder / "root" / place.lstrip("/")
        own.mkdir(parents=True, exist_ok=True)
        space.run("mount", "--bind", own, place)
    if psutil.virtual_memory().available > _PLENTY_BYTES:
        Path(space.folder, "root", _IMAGES.lstrip("/")).mkdir()
        space.run("mount", "-t", "tmpfs", "-o", f"size={_PLENTY_BYTES // 2},mode=711", "images", _IMAGES)
    tunables = space.folder / "tunables"
    tunables.mkdir(exist_ok=True)
    for name, value in _TUNABLES.items():
        if Path("/proc/sys", name).exists():
            file = tunables / name.replace("/", ".")
            file.write_text(f"{value}\n")
            space.run("mount", "--bind", file, Path("/proc/sys") / name)


def connect(space: Namespaces, families: Families) -> None:
    """A cable from this machine to the node, and routes over it to pods and Services.

    There is no way out: the node has no default route. The machine's end and its routes go with the node.
    """
    cable = f"lorapool{families[0].link.network_address.packed.hex()[2:6]}"
    _run("ip", "link", "add", cable, "type", "veth", "peer", "name", "eth0", "netns", str(space.pid))
    space.run("ip", "link", "set", "lo", "up")
    for switch in ("ipv4/ip_forward", "ipv6/conf/all/forwarding"):
        space.run("sh", "-c", f"[ ! -e /proc/sys/net/{switch} ] || echo 1 > /proc/sys/net/{switch}")
    for ranges in families:
        prefix, at_once = ranges.link.prefixlen, () if ranges.link.version == 4 else ("nodad",)
        _run("ip", "address", "add", f"{ranges.host}/{prefix}", "dev", cable, *at_once)
        space.run("ip", "address", "add", f"{ranges.node}/{prefix}", "dev", "eth0", *at_once)
    _run("ip", "link", "set", cable, "up")
    space.run("ip", "link", "set", "eth0", "up")
    for ranges in families:
        for routed in (ranges.pods, ranges.services):
            _run("ip", "route", "add", str(routed), "via", str(ranges.node), "dev", cable)


def _run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise NamespacesFailed(f"{' '.join(command)}: {done.stderr.strip()}")
    return done.stdout
