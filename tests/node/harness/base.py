"""A base image where no registry can be reached: Debian and its own Python, laid out as `python:3-slim`."""

import contextlib
import shutil
import ssl
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from lorapool_local.errors import LocalError

NAME: Final = "localhost/lorapool-base:bookworm"
ENVIRONMENT: Final[Mapping[str, str]] = {
    "PATH": "/usr/local/bin:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin",
    "SSL_CERT_FILE": "/etc/ssl/certs/ca-certificates.crt",
}
_PACKAGES: Final = "ca-certificates,python3,python3-pip"
# What an image has no use for, and where Debian says that pip shall not install.
_SUPERFLUOUS: Final = (
    "usr/share/doc",
    "usr/share/man",
    "usr/share/locale",
    "var/lib/apt/lists",
    "var/cache/apt/archives",
)
_EXTERNALLY_MANAGED: Final = "usr/lib/python3*/EXTERNALLY-MANAGED"


class BaseFailed(LocalError):
    """debootstrap failed."""


class BaseMissing(LocalError):
    """There is nothing to take a base image from."""


@contextlib.contextmanager
def root_folder(cache: Path) -> Iterator[Path]:
    """A root file system for the length of the block.

    Raises:
        BaseMissing: there is no debootstrap.
        BaseFailed: with the end of what debootstrap said.
    """
    if shutil.which("debootstrap") is None:
        raise BaseMissing("there is no registry and no debootstrap: apt-get install debootstrap")
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache, prefix="base-") as folder:
        root = Path(folder) / "root"
        command = ["debootstrap", "--variant=minbase", f"--include={_PACKAGES}", "bookworm", str(root)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            said = (done.stdout + done.stderr).splitlines()[-15:]
            raise BaseFailed("debootstrap failed:\n" + "\n".join(said))
        _as_the_official_image(root)
        yield root


def _as_the_official_image(root: Path) -> None:
    for path in root.glob(_EXTERNALLY_MANAGED):
        path.unlink()
    (root / "usr/local/bin/python").symlink_to("/usr/bin/python3")
    for folder in _SUPERFLUOUS:
        shutil.rmtree(root / folder, ignore_errors=True)
    # The packages come from wherever this machine gets its own: it may know an authority that Debian does not.
    authorities = ssl.get_default_verify_paths().cafile or ENVIRONMENT["SSL_CERT_FILE"]
    shutil.copyfile(authorities, root / ENVIRONMENT["SSL_CERT_FILE"].lstrip("/"))
    (root / "etc/pip.conf").write_text(f"[global]\ncert = {ENVIRONMENT['SSL_CERT_FILE']}\n")
