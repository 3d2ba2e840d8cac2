"""Files that are replaced in one step, so that nobody reads half of one."""

import os
import tempfile
from pathlib import Path


def write_atomically(path: Path, content: str | bytes, *, durable: bool = True) -> None:
    """Replace the file, for its owner alone to read; its folder is made where there is none.

    Args:
        content: a text is written as UTF-8.
        durable: wait until the disk has it; without that a crash of the machine may leave an empty file.

    Raises:
        OSError: the old content stays.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content.encode() if isinstance(content, str) else content)
            file.flush()
            if durable:
                os.fsync(file.fileno())
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
