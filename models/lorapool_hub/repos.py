"""Folders as repositories: what a file is called, how large it is, and by which hashes the Hub knows it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import yaml

CARD: Final = "README.md"
"""A folder with a card is a repository."""
_LARGE: Final = frozenset({".safetensors", ".bin", ".ckpt", ".pt", ".png"})
"""What the Hub keeps in Git LFS, by suffix."""


@dataclass(frozen=True)
class RepoFile:
    """One file. `oid` is git's name for it, `sha256` is set for what the Hub keeps in Git LFS."""

    path: str
    disk: Path
    size_bytes: int
    oid: str
    sha256: str | None

    @property
    def etag(self) -> str:
        return self.sha256 or self.oid


@dataclass(frozen=True)
class Repo:
    """The one revision that a folder has: its present content, named `main` and by its commit."""

    id: str
    files: Mapping[str, RepoFile]
    card: Mapping[str, Any]

    @property
    def commit(self) -> str:
        """Changes when any file does."""
        listing = "".join(f"{file.oid} {path}\n" for path, file in sorted(self.files.items()))
        return hashlib.sha1(listing.encode(), usedforsecurity=False).hexdigest()

    def has_revision(self, revision: str) -> bool:
        return revision in ("main", "refs/heads/main", self.commit)


def find(root: Path, owner: str) -> dict[str, Path]:
    """Every folder below the root that holds a card, by the id `owner/<folder's name>`."""
    return {f"{owner}/{folder.name}": folder for folder in _with_cards(root)}


def _with_cards(folder: Path) -> Iterator[Path]:
    for inner in sorted(p for p in folder.iterdir() if p.is_dir()):
        if (inner / CARD).is_file():
            yield inner
        else:
            yield from _with_cards(inner)


def read(repo_id: str, folder: Path) -> Repo:
    """The repository as the folder is now; hidden files are no part of it."""
    files = {}
    for disk in sorted(folder.rglob("*")):
        path = disk.relative_to(folder)
        if disk.is_file() and not any(part.startswith(".") for part in path.parts):
            files[path.as_posix()] = _read_file(path.as_posix(), disk)
    return Repo(repo_id, files, card_data((folder / CARD).read_text()))


def card_data(text: str) -> Mapping[str, Any]:
    """The YAML between the two lines of dashes that a card begins with; empty without one."""
    if not text.startswith("---\n"):
        return {}
    head, _, _ = text.removeprefix("---\n").partition("\n---")
    data = yaml.safe_load(head)
    return data if isinstance(data, dict) else {}


def _read_file(path: str, disk: Path) -> RepoFile:
    stat = disk.stat()
    oid, sha256 = _hashes(disk, stat.st_size, stat.st_mtime_ns)
    return RepoFile(path, disk, stat.st_size, oid, sha256 if disk.suffix in _LARGE else None)


@lru_cache(maxsize=4096)
def _hashes(disk: Path, size_bytes: int, modified_ns: int) -> tuple[str, str]:
    content = disk.read_bytes()
    blob = f"blob {size_bytes}\0".encode() + content
    return hashlib.sha1(blob, usedforsecurity=False).hexdigest(), hashlib.sha256(content).hexdigest()
