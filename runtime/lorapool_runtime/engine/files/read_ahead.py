"""The base's files come from the disk while libraries are imported: neither has to wait for the other."""

import json
import os
import threading
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Final

from lorapool_runtime.engine.files.host_memory import available_bytes

# (file, offset, bytes): begin to read them into the page cache. Raises: OSError.
Advise = Callable[[int, int, int], None]

# Of a module of diffusers' own, which repositories of SD 1.x name by its folder there. Never part of the pipeline: who
# wants it has it beside.
CHECKER: Final = "safety_checker"
_CHUNK_BYTES: Final = 8 * 1024**2


def read_ahead(folder: Path, variant: str | None = None, without: Collection[str] = ()) -> None:
    """Begin to read the weights of a pipeline, on a thread that nobody waits for; what is wrong with them is said by
    whoever loads them. Half of the memory that is available bounds what is read: more would push out its own begin.

    Args:
        without: components that will not be loaded.
    """
    work = threading.Thread(
        target=lambda: advise_all(weight_files(folder, variant, without), available_bytes() // 2, _will_need),
        name="read-ahead",
        daemon=True,
    )
    work.start()


def weight_files(folder: Path, variant: str | None, without: Collection[str] = ()) -> list[Path]:
    """Those of the other components of `model_index.json`: of the variant where a component has it, else without."""
    try:
        index = json.loads((folder / "model_index.json").read_text())
        names = [name for name, entry in index.items() if isinstance(entry, list) and Path(name).name == name]
        return [path for name in names if name not in without for path in _of(folder / name, variant)]
    except (OSError, ValueError, AttributeError):
        return []


def _of(component: Path, variant: str | None) -> list[Path]:
    found = sorted(component.glob("*.safetensors")) if component.is_dir() else []
    # `model.safetensors` or a shard of it; a variant stands between two dots.
    plain = [path for path in found if path.name.count(".") == 1]
    ours = [path for path in found if f".{variant}" in path.name.removesuffix(".safetensors")] if variant else []
    return ours or plain


def advise_all(files: list[Path], most_bytes: int, advise: Advise) -> int:
    """Ask for the files from their beginnings, one after the other, up to so many bytes; how many were asked for."""
    asked = 0
    for path in files:
        try:
            with path.open("rb") as file:
                size_bytes = os.fstat(file.fileno()).st_size
                for offset in range(0, size_bytes, _CHUNK_BYTES):
                    length = min(_CHUNK_BYTES, size_bytes - offset, most_bytes - asked)
                    if length <= 0:
                        return asked
                    advise(file.fileno(), offset, length)
                    asked += length
        except OSError:
            continue
    return asked


def _will_need(file: int, offset: int, length: int) -> None:
    if hasattr(os, "posix_fadvise"):
        os.posix_fadvise(file, offset, length, os.POSIX_FADV_WILLNEED)
