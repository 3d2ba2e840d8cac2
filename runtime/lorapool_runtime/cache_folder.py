"""The folder for downloads, looked at once before anything is written to it."""

import os
import stat
import tempfile
from pathlib import Path


class CacheNotWritable(Exception):
    """The cache folder cannot be written; the message says whose it is and what to do."""


def require_writable(folder: Path) -> None:
    """Make the folder if it is missing, and write a file into it that goes again.

    Raises:
        CacheNotWritable: see there.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise CacheNotWritable(_sentence(folder, error)) from error


def _sentence(folder: Path, refused: OSError) -> str:
    me = os.getuid()
    said = f"user {me} cannot write to the cache folder {folder}: {refused.strerror or refused}"
    try:
        found = folder.stat()
    except OSError:
        return said
    said += f" (it belongs to user {found.st_uid}, mode {stat.S_IMODE(found.st_mode):04o})"
    if isinstance(refused, PermissionError):
        said += f"; where it is a hostPath, run `chown {me} FOLDER` on the node, or use an emptyDir or a claim"
    return said
