"""A revision for a base model that lies in a folder: the same for the same files, wherever they lie."""

import hashlib
import os
from pathlib import Path
from typing import Final

_SAMPLE_BYTES: Final = 64 * 1024
_SAMPLES: Final = 16


def folder_revision(folder: Path) -> str:
    """40 hexadecimal digits over the names, sizes and content of the files of a diffusers pipeline.

    Of large files only samples are read, spread over the file: a base has gigabytes, and a retrained one
    differs everywhere.
    """
    digest = hashlib.sha256()
    for path in sorted(_files(folder)):
        size_bytes = path.stat().st_size
        digest.update(f"{path.relative_to(folder).as_posix()}\0{size_bytes}\0".encode())
        _sample(path, size_bytes, digest)
    return digest.hexdigest()[:40]


def file_revision(file: Path, config: Path) -> str:
    """The same of a checkpoint in one file, and of the folder that says what it is."""
    digest = hashlib.sha256(folder_revision(config).encode())
    _sample(file, file.stat().st_size, digest)
    return digest.hexdigest()[:40]


def folder_size_bytes(folder: Path) -> int:
    """Size of the weights in the folder."""
    return sum(p.stat().st_size for p in _files(folder) if p.suffix == ".safetensors")


def _files(folder: Path) -> list[Path]:
    found = (Path(where) / name for where, _, names in os.walk(folder, followlinks=True) for name in names)
    return [p for p in found if p.suffix in (".json", ".safetensors", ".txt") and p.is_file()]


def _sample(path: Path, size_bytes: int, digest: "hashlib._Hash") -> None:
    with path.open("rb") as file:
        if size_bytes <= _SAMPLE_BYTES * _SAMPLES:
            digest.update(file.read())
            return
        for i in range(_SAMPLES):
            file.seek((size_bytes - _SAMPLE_BYTES) * i // (_SAMPLES - 1))
            digest.update(file.read(_SAMPLE_BYTES))
