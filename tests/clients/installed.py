"""Clients as their packages have them, each version in a folder of its own: locked, hash-checked, kept between runs."""

import hashlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

import pytest
from filelock import FileLock

from lorapool_local.paths import cache_dir

PACKAGES: Final = Path(__file__).parent / "packages"
_READY: Final = ".ready"
_INSTALL_S: Final = 100
# What the installers say when they get no answer at all, or not the one of an index.
_UNREACHABLE: Final = re.compile(
    r"ENOTFOUND|ECONN|EAI_AGAIN|ETIMEDOUT|ERR_SOCKET|E50\d|Failed to fetch|error sending request|dns error|timed out"
)


def python_of(client: str) -> Path:
    """The interpreter that has the packages of `packages/<client>.txt`, and no others."""
    lock = PACKAGES / f"{client}.txt"
    folder = _folder(client, lock.read_bytes() + sys.version.encode())
    python = folder / "bin" / "python"

    def install() -> None:
        uv = shutil.which("uv", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}") or "uv"
        _run(uv, "venv", "--quiet", "--python", sys.executable, "--no-project", str(folder))
        options = ("--quiet", "--require-hashes", "--no-deps", "--only-binary", ":all:", "--python", str(python))
        _run(uv, "pip", "install", *options, "--requirement", str(lock))

    _once(folder, install)
    return python


def node_modules() -> Path:
    """The folder of `node_modules` with all of `packages/package-lock.json`."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        cannot_run("Node and npm are not installed")
    files = [PACKAGES / name for name in ("package.json", "package-lock.json")]
    folder = _folder("node", b"".join(file.read_bytes() for file in files))

    def install() -> None:
        for file in files:
            shutil.copy(file, folder)
        _run("npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefix", str(folder))

    _once(folder, install)
    return folder


def cannot_run(why: str) -> None:
    """Skip the test that needs it; with CI=true it fails."""
    if os.environ.get("CI") == "true":
        pytest.fail(why)
    pytest.skip(why)


def _folder(name: str, content: bytes) -> Path:
    return cache_dir() / "clients" / f"{name}-{hashlib.sha256(content).hexdigest()[:12]}"


def _once(folder: Path, install: Callable[[], None]) -> None:
    """Install into the folder, unless that was done; processes that run at the same time wait for one another."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(folder.parent / f"{folder.name}.lock"):
        if (folder / _READY).exists():
            return
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        install()
        (folder / _READY).touch()


def _run(*command: str) -> None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_INSTALL_S, check=False)
    except subprocess.TimeoutExpired:
        cannot_run(f"{command[0]} took more than {_INSTALL_S} s")
        return
    if done.returncode != 0 and _UNREACHABLE.search(done.stderr):
        cannot_run(f"the index of packages cannot be reached: {done.stderr[-500:]}")
    assert done.returncode == 0, done.stderr[-2000:]
