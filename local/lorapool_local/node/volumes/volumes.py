"""The volumes of one pod: made before its containers start, kept up to date while they run."""

import asyncio
import contextlib
import os
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import structlog

from lorapool_api.kinds.quantities import parse_quantity
from lorapool_common.kube.client import Kube
from lorapool_common.kube.errors import ApiError
from lorapool_local.node.spec.container import Container
from lorapool_local.node.spec.environment import ConfigError, Placement, field_value, resource_value
from lorapool_local.node.spec.pod import Pod, Volume
from lorapool_local.node.spec.user import WRITE, User, rights
from lorapool_local.node.volumes.payload import FileContent, Payload, checked_path, object_payload, write_payload
from lorapool_local.node.volumes.references import Reference, References
from lorapool_local.node.volumes.tokens import PodTokens
from lorapool_local.sandbox.rootfs import Mount

log = structlog.get_logger(__name__)

_DEFAULT_TOKEN_S = 3600
_RETRY_S = 2.0
_REFERENCES = {"secret": ("Secret", "secretName"), "configMap": ("ConfigMap", "name")}
_WRITTEN = ("secret", "configMap", "downwardAPI", "projected")


class VolumeError(Exception):
    """A volume cannot be made; it may be possible later."""


@dataclass(frozen=True)
class _Part:
    """One source of a volume whose files the node writes."""

    kind: str
    source: Mapping[str, Any]
    mode: int


class PodVolumes:
    """The volumes of one pod, in folders below the pod's own."""

    def __init__(self, pod: Pod, folder: Path, kube: Kube, references: References, placement: Placement) -> None:
        self._pod = pod
        self._folder = folder
        self._references = references
        self._placement = placement
        self._tokens = PodTokens(kube, pod)
        self._dirty = asyncio.Event()

    def update(self, pod: Pod) -> None:
        """The pod's labels or annotations may have changed."""
        self._pod = pod
        self._dirty.set()

    @contextlib.asynccontextmanager
    async def references_held(self) -> AsyncIterator[None]:
        """To be entered before `make`."""
        with contextlib.ExitStack() as held:
            for reference in _references(self._pod):
                held.enter_context(self._references.holding(reference, self._dirty.set))
            yield

    async def make(self) -> None:
        """Raises `VolumeError` when something is not there yet."""
        for volume in self._pod.spec.volumes:
            try:
                await self._make(volume)
            except (ConfigError, ApiError, OSError) as error:
                raise VolumeError(f'MountVolume.SetUp failed for volume "{volume.name}" : {error}') from error

    async def keep_fresh(self) -> None:
        """Follow changes of what the volumes are made of, and renew tokens. Never returns."""
        while True:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._dirty.wait(), self._until_renewal_s())
            self._dirty.clear()
            try:
                await self.make()
            except VolumeError as error:
                # The files stay as they are, as on a real node.
                log.warning("volume not refreshed", pod=self._pod.key, error=str(error))
                await asyncio.sleep(_RETRY_S)

    def size_limits(self) -> list[tuple[Volume, int]]:
        """The volumes that must not grow beyond a number of bytes."""
        return [
            (volume, int(parse_quantity(str(volume.source["sizeLimit"]))))
            for volume in self._pod.spec.volumes
            if volume.kind == "emptyDir" and volume.source.get("sizeLimit") not in (None, "", "0")
        ]

    def over_limit(self) -> str | None:
        """Which volume has grown too large, for a person to read. Looks at every file: not for the event loop."""
        for volume, limit in self.size_limits():
            if _size_on_disk(self.path(volume)) > limit:
                written = volume.source["sizeLimit"]
                return f'Usage of EmptyDir volume "{volume.name}" exceeds the limit "{written}".'
        return None

    def path(self, volume: Volume) -> Path:
        if volume.kind == "hostPath":
            return Path(volume.source["path"])
        return self._folder / "volumes" / volume.name

    def mounts(self, container: Container, user: User) -> list[Mount]:
        """Where a container sees its volumes; read-only where its user may not write on a real node.

        Raises `VolumeError` for an unknown one.
        """
        volumes = {volume.name: volume for volume in self._pod.spec.volumes}
        found = []
        for mount in container.volume_mounts:
            if mount.name not in volumes:
                raise VolumeError(f"container {container.name} mounts unknown volume {mount.name}")
            volume = volumes[mount.name]
            source = self.path(volume)
            if mount.sub_path:
                source = source / checked_path(mount.sub_path)
                if not source.exists():
                    source.mkdir(parents=True)
            read_only = mount.read_only or volume.kind in _WRITTEN
            if volume.kind == "hostPath":  # nobody gives it to the pod's user
                read_only = read_only or not _may_write(source, user)
            found.append(Mount(str(source.resolve()), mount.mount_path, read_only))
        return found

    async def _make(self, volume: Volume) -> None:
        path = self.path(volume)
        if volume.kind == "emptyDir":
            path.mkdir(parents=True, exist_ok=True)
            path.chmod(0o777)
        elif volume.kind == "hostPath":
            _check_host_path(path, volume.source.get("type", ""))
        elif volume.kind in _WRITTEN:
            payload: Payload = {}
            for part in _parts(volume):
                payload |= await self._payload(part)
            await asyncio.to_thread(write_payload, path, payload)
        else:
            raise ConfigError(f"this node knows no {volume.kind} volumes")

    async def _payload(self, part: _Part) -> Payload:
        source = part.source
        if part.kind in _REFERENCES:
            return await self._object_payload(part)
        if part.kind == "downwardAPI":
            return {checked_path(item["path"]): self._downward(item, part.mode) for item in source.get("items") or ()}
        if part.kind == "serviceAccountToken":
            token = await self._tokens.token(
                source.get("audience", ""), source.get("expirationSeconds", _DEFAULT_TOKEN_S)
            )
            return {checked_path(source["path"]): FileContent(token.encode(), part.mode)}
        raise ConfigError(f"this node knows no {part.kind} in projected volumes")

    async def _object_payload(self, part: _Part) -> Payload:
        reference = _reference(self._pod, part)
        found = await self._references.current(reference)
        if found is None:
            if part.source.get("optional"):
                return {}
            raise ConfigError(f'{reference.kind.lower()} "{reference.name}" not found')
        return object_payload(reference.kind, found, part.source.get("items"), part.mode)

    def _downward(self, item: Mapping[str, Any], mode: int) -> FileContent:
        if reference := item.get("resourceFieldRef"):
            containers = {c.name: c for c in (*self._pod.spec.containers, *self._pod.spec.init_containers)}
            text = resource_value(reference, containers[reference["containerName"]], self._placement)
        else:
            text = field_value(item["fieldRef"]["fieldPath"], self._pod, self._placement)
        return FileContent(text.encode(), item.get("mode", mode))

    def _until_renewal_s(self) -> float | None:
        renewal = self._tokens.next_renewal()
        return None if renewal is None else max(renewal - time.time(), 0)


def _parts(volume: Volume) -> list[_Part]:
    mode = volume.source.get("defaultMode", 0o644)
    if volume.kind != "projected":
        return [_Part(volume.kind, volume.source, mode)]
    return [
        _Part(kind, value or {}, mode)
        for source in volume.source.get("sources") or ()
        for kind, value in source.items()
    ]


def _references(pod: Pod) -> set[Reference]:
    return {
        _reference(pod, part)
        for volume in pod.spec.volumes
        if volume.kind in _WRITTEN
        for part in _parts(volume)
        if part.kind in _REFERENCES
    }


def _reference(pod: Pod, part: _Part) -> Reference:
    kind, key = _REFERENCES[part.kind]
    # A Secret inside a projected volume is named `name`, on its own `secretName`.
    name = part.source.get(key) or part.source.get("name", "")
    return Reference(kind, pod.metadata.namespace, name)


def _check_host_path(path: Path, kind: str) -> None:
    if kind == "DirectoryOrCreate":
        path.mkdir(parents=True, exist_ok=True)
    elif kind == "FileOrCreate":
        path.touch(exist_ok=True)
    is_right = {"Directory": path.is_dir, "DirectoryOrCreate": path.is_dir, "File": path.is_file}.get(kind, path.exists)
    if not is_right():
        raise ConfigError(f"hostPath {path} is not there, or no {kind or 'file or folder'}")


def _may_write(path: Path, user: User) -> bool:
    found = path.stat()
    return bool(rights(found.st_mode, found.st_uid, found.st_gid, user) & WRITE)


def _size_on_disk(folder: Path) -> int:
    """What its files occupy; files that go meanwhile do not count."""
    size = 0
    for path, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(FileNotFoundError):
                size += os.lstat(f"{path}/{name}").st_blocks * 512
    return size
