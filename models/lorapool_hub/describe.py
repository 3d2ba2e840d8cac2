"""Repositories as the Hub's JSON: the fields that clients read, named as the Hub names them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath
from typing import Any, Final

from lorapool_hub.repos import Repo, RepoFile

Json = dict[str, Any]
_SINCE: Final = "2026-01-01T00:00:00.000Z"
_POINTER_BYTES: Final = 134


def model(repo: Repo, *, private: bool, gated: bool, blobs: bool) -> Json:
    """`GET /api/models/...`; sizes and hashes only with `blobs`, as on the Hub."""
    return {
        "_id": repo.commit[:24],
        "id": repo.id,
        "modelId": repo.id,
        "author": repo.id.partition("/")[0],
        "sha": repo.commit,
        "private": private,
        "gated": "manual" if gated else False,
        "disabled": False,
        "downloads": 0,
        "likes": 0,
        "createdAt": _SINCE,
        "lastModified": _SINCE,
        "cardData": dict(repo.card),
        "tags": tags(repo.card),
        "pipeline_tag": repo.card.get("pipeline_tag"),
        "library_name": repo.card.get("library_name"),
        "siblings": [_sibling(file, blobs) for file in repo.files.values()],
    }


def tags(card: Mapping[str, Any]) -> list[str]:
    """The card's own tags and those that the Hub derives from it."""
    own = [str(tag) for tag in card.get("tags") or []]
    bases = card.get("base_model") or []
    bases = [bases] if isinstance(bases, str) else bases
    derived = [f"base_model:{base}" for base in bases]
    licence = [f"license:{card['license']}"] if "license" in card else []
    library = [str(card["library_name"])] if "library_name" in card else []
    return [*library, *own, *derived, *licence]


def _sibling(file: RepoFile, blobs: bool) -> Json:
    if not blobs:
        return {"rfilename": file.path}
    known: Json = {"rfilename": file.path, "size": file.size_bytes, "blobId": file.oid}
    if file.sha256:
        known["lfs"] = {"sha256": file.sha256, "size": file.size_bytes, "pointerSize": _POINTER_BYTES}
    return known


def entry(file: RepoFile) -> Json:
    """A file in a tree listing."""
    known: Json = {"type": "file", "path": file.path, "size": file.size_bytes, "oid": file.oid}
    if file.sha256:
        known["lfs"] = {"oid": file.sha256, "size": file.size_bytes, "pointerSize": _POINTER_BYTES}
    return known


def tree(repo: Repo, folder: str, *, recursive: bool) -> list[Json]:
    """What is in the folder (`""`: the root), directories first; empty for a folder that does not exist."""
    inside = [f for f in repo.files.values() if not folder or f.path.startswith(f"{folder}/")]
    directories = sorted({d for f in inside for d in _directories(f.path, folder)})
    if not recursive:
        inside = [f for f in inside if _parent(f.path) == folder]
        directories = [d for d in directories if _parent(d) == folder]
    oid = repo.commit
    return [{"type": "directory", "path": d, "oid": oid, "size": 0} for d in directories] + [entry(f) for f in inside]


def _directories(path: str, below: str) -> Iterator[str]:
    for parent in PurePosixPath(path).parents:
        if str(parent) not in (".", below) and str(parent).startswith(f"{below}/" if below else ""):
            yield str(parent)


def _parent(path: str) -> str:
    parent = str(PurePosixPath(path).parent)
    return "" if parent == "." else parent
