"""What the files of Secret, ConfigMap, downward and projected volumes hold, and how they are replaced in one step."""

import base64
import contextlib
import shutil
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lorapool_local.node.spec.environment import ConfigError

_DATA = "..data"
_DEFAULT_MODE = 0o644


@dataclass(frozen=True)
class FileContent:
    """The bytes and the mode of one file."""

    data: bytes
    mode: int = _DEFAULT_MODE


Payload = dict[str, FileContent]


def object_payload(
    kind: str, found: Mapping[str, Any], items: Sequence[Mapping[str, Any]] | None, mode: int
) -> Payload:
    """All keys of a Secret or ConfigMap, or the chosen ones under chosen paths. Raises `ConfigError`."""
    values = _values(kind, found)
    if not items:
        return {key: FileContent(value, mode) for key, value in values.items()}
    missing = [item["key"] for item in items if item["key"] not in values]
    if missing:
        raise ConfigError(f"references non-existent secret or config key: {', '.join(missing)}")
    return {checked_path(item["path"]): FileContent(values[item["key"]], item.get("mode", mode)) for item in items}


def checked_path(path: str) -> str:
    """A path below the volume. Raises `ConfigError` for one that leaves it."""
    if path.startswith("/") or ".." in path.split("/"):
        raise ConfigError(f"path {path!r} leaves the volume")
    return path


def write_payload(folder: Path, payload: Payload) -> None:
    """Replace what `folder` shows in one step: its names are links into a folder that another link names.

    The layout is the kubelet's, so that programs that watch for its changes see them.
    """
    folder.mkdir(parents=True, exist_ok=True)
    data = folder / _DATA
    before = str(data.readlink()) if data.is_symlink() else None
    if before is not None and _read(folder / before) == payload:
        return
    fresh = folder / f"..{uuid.uuid4().hex}"
    _write_files(fresh, payload)
    new_link = folder / f"{_DATA}_new"
    new_link.symlink_to(fresh.name)
    new_link.replace(data)
    _link_names(folder, {path.split("/")[0] for path in payload})
    if before is not None:
        shutil.rmtree(folder / before, ignore_errors=True)


def _write_files(folder: Path, payload: Payload) -> None:
    folder.mkdir()
    for path, content in payload.items():
        file = folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content.data)
        file.chmod(content.mode)


def _link_names(folder: Path, names: set[str]) -> None:
    present = {entry.name for entry in folder.iterdir() if not entry.name.startswith("..")}
    for name in names - present:
        (folder / name).symlink_to(f"{_DATA}/{name}")
    for name in present - names:
        with contextlib.suppress(FileNotFoundError):
            (folder / name).unlink()


def _read(folder: Path) -> Payload:
    return {
        str(file.relative_to(folder)): FileContent(file.read_bytes(), file.stat().st_mode & 0o777)
        for file in folder.rglob("*")
        if file.is_file()
    }


def _values(kind: str, found: Mapping[str, Any]) -> dict[str, bytes]:
    data: Mapping[str, str] = found.get("data") or {}
    if kind == "Secret":
        return {key: base64.b64decode(value) for key, value in data.items()}
    binary: Mapping[str, str] = found.get("binaryData") or {}
    return {key: value.encode() for key, value in data.items()} | {
        key: base64.b64decode(value) for key, value in binary.items()
    }
