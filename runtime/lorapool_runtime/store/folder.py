"""The cache folder, looked at before anything is put into it: what is wrong with it is said in one sentence."""

import os
import tempfile
from pathlib import Path

from lorapool_runtime.errors import CacheUnusable


def check_writable(folder: Path) -> None:
    """Make the folder where there is none, and see that files can be put there.

    Raises:
        CacheUnusable: they cannot.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b"0")
            file.flush()
    except OSError as error:
        who = f"user {os.geteuid()} (group {os.getegid()})"
        message = (
            f"the cache folder {folder} cannot be written by {who}: {error.strerror or error}; {_owner(folder)}"
            "give the pod a volume that this user may write to: an emptyDir, a claim, "
            "or a hostPath that belongs to the user (fsGroup has no effect on a hostPath)"
        )
        raise CacheUnusable(message) from error


def _owner(folder: Path) -> str:
    """Whose the folder is, or the nearest one above it that exists."""
    for place in (folder, *folder.parents):
        try:
            status = place.stat()
        except OSError:
            continue
        return f"{place} belongs to user {status.st_uid} (group {status.st_gid}), mode {status.st_mode & 0o7777:04o}; "
    return ""
