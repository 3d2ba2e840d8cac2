"""The images of the node's pods, built from the Dockerfiles by buildah and kept in the cache."""

import re
import subprocess
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from rich.console import Console
from tests.node.harness import base
from tests.node.harness.configs import PAUSE_IMAGE

from lorapool_local.errors import LocalError

REPOSITORY: Final = Path(__file__).parents[3]
_PULL_TIMEOUT_S: Final = 120.0
_DEFAULT_PYTHON: Final = re.compile(r"^ARG PYTHON_IMAGE=(\S+)$", re.MULTILINE)


class ImageFailed(LocalError):
    """An image could not be built."""


@dataclass(frozen=True)
class Image:
    """One image from one of the repository's Dockerfiles."""

    name: str
    dockerfile: str
    target: str | None = None


IMAGES: Final = (
    Image("lorapool.test/lorapool-operator:e2e", "Dockerfile.operator"),
    Image("lorapool.test/lorapool-runtime:e2e", "Dockerfile.runtime", "stub"),
)


class Builder:
    """buildah on a store of its own, and the archives of what it built."""

    def __init__(self, cache: Path, console: Console) -> None:
        self._cache = cache
        self._console = console

    def archives(self) -> list[Path]:
        """Both images and the one that holds a pod's namespaces, as archives that containerd imports.

        Raises:
            ImageFailed: with the end of what buildah said.
        """
        python = self._python_image()
        for image in IMAGES:
            self._say_time(image.name, lambda image=image: self._build(image, python))  # type: ignore[misc]
        if not self._id(PAUSE_IMAGE):
            self._build_pause(python)
        return self._save([PAUSE_IMAGE, *(image.name for image in IMAGES)])

    def _python_image(self) -> str:
        """What the Dockerfiles name, where a registry has it; else one that is made here."""
        wanted = default_python_image((REPOSITORY / IMAGES[0].dockerfile).read_text())
        if self._id(wanted):
            return wanted
        try:
            self._buildah("pull", "--quiet", wanted, timeout_s=_PULL_TIMEOUT_S)
        except (ImageFailed, subprocess.TimeoutExpired):
            self._console.print(f"  no registry has {wanted}: a base image is made from Debian packages")
        else:
            return wanted
        if not self._id(base.NAME):
            self._say_time(base.NAME, self._build_base)
        return base.NAME

    def _build_base(self) -> None:
        with base.root_folder(self._cache) as root:
            container = self._buildah("from", "scratch").strip()
            try:
                self._buildah("add", "--quiet", container, str(root), "/")
                settings = [f"--env={name}={value}" for name, value in base.ENVIRONMENT.items()]
                self._buildah("config", *settings, "--cmd=python3", container)
                self._buildah("commit", "--quiet", container, base.NAME)
            finally:
                self._buildah("rm", container)

    def _build_pause(self, python: str) -> None:
        container = self._buildah("from", "--pull-never", python).strip()
        try:
            self._buildah("config", '--entrypoint=["sleep", "infinity"]', "--cmd=", container)
            self._buildah("commit", "--quiet", container, PAUSE_IMAGE)
        finally:
            self._buildah("rm", container)

    def _build(self, image: Image, python: str) -> None:
        # In a chroot and with the machine's network: a container of its own gains nothing here.
        command = ["build", "--isolation=chroot", "--network=host", "--layers", "--pull-never", "--quiet"]
        target = [f"--target={image.target}"] if image.target else []
        arguments = [f"--build-arg=PYTHON_IMAGE={python}", f"--file={image.dockerfile}", f"--tag={image.name}"]
        self._buildah(*command, *target, *arguments, ".")

    def _save(self, names: Iterable[str]) -> list[Path]:
        """An archive for each image; one that was written before is taken again, one of an older build goes."""
        folder = self._cache / "archives"
        folder.mkdir(parents=True, exist_ok=True)
        wanted = {folder / f"{self._id(name)}.tar": name for name in names}
        for old in set(folder.iterdir()) - set(wanted):
            old.unlink()
        for path, name in wanted.items():
            if not path.exists():
                unfinished = path.with_suffix(".new")
                unfinished.unlink(missing_ok=True)
                self._buildah("push", "--quiet", name, f"docker-archive:{unfinished}:{name}")
                unfinished.rename(path)
        return list(wanted)

    def _id(self, name: str) -> str:
        """Empty where there is no such image."""
        try:
            return self._buildah("inspect", "--type=image", "--format={{.FromImageID}}", name).strip()
        except ImageFailed:
            return ""

    def _say_time(self, name: str, make: Callable[[], None]) -> None:
        began = time.monotonic()
        with self._console.status(f"image {name}"):
            make()
        self._console.print(f"  image {name}: {time.monotonic() - began:.0f} s", highlight=False)

    def _buildah(self, *arguments: str, timeout_s: float | None = None) -> str:
        store = ["--root", str(self._cache / "store"), "--runroot", str(self._cache / "store-run")]
        command = ["buildah", *store, "--storage-driver=overlay", *arguments]
        done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=timeout_s, check=False)
        if done.returncode:
            said = (done.stdout + done.stderr).splitlines()[-15:]
            raise ImageFailed(f"buildah {arguments[0]} failed:\n" + "\n".join(said))
        return done.stdout


def default_python_image(dockerfile: str) -> str:
    """The base image that a Dockerfile names, with its registry."""
    match = _DEFAULT_PYTHON.search(dockerfile)
    if match is None:
        raise ImageFailed("a Dockerfile without ARG PYTHON_IMAGE=")
    name = match.group(1)
    return name if "/" in name else f"docker.io/library/{name}"
