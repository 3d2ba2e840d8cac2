"""Where `path` sources may lie: on volumes that the pool names for them, and on nothing that is mounted below."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from lorapool_api import names
from lorapool_api.kinds.pool import PoolSpec

# Kinds of volumes that hold, or may hold, credentials: they are no place for adapters, whoever names them.
_SECRETIVE: Final = frozenset({"secret", "projected", "downwardAPI"})
_SECRETIVE_DRIVERS: Final = frozenset({"secrets-store.csi.k8s.io", "csi.cert-manager.io", "csi.spiffe.io"})


@dataclass(frozen=True)
class PathRoots:
    """Folders of the runtime container.

    Attributes:
        roots: below which `path` sources may lie.
        hidden: below which they may not, although they are below a root: other volumes are mounted there.
    """

    roots: tuple[str, ...] = ()
    hidden: tuple[str, ...] = ()

    def allow(self, path: str) -> bool:
        """Whether a path, as it is written, may be one of a source."""
        below = [folder for folder in (*self.roots, *self.hidden) if _is_below(path, folder)]
        return bool(below) and max(below, key=len) in self.roots


def path_roots(pool: PoolSpec) -> PathRoots:
    """Of the volumes in `adapters.pathVolumes`, those of the podTemplate that it mounts into the runtime container."""
    template = pool.runtime.pod_template or {}
    spec = template.get("spec") if isinstance(template.get("spec"), Mapping) else {}
    named = {v["name"] for v in _items(spec, "volumes", "name") if not _is_secretive(v)}
    wanted = named & set(pool.adapters.path_volumes)
    mounts = [
        mount
        for container in _items(spec, "containers", "name")
        if container["name"] == names.RUNTIME_CONTAINER
        for mount in _items(container, "volumeMounts", "mountPath")
    ]
    roots = tuple(_folder(m) for m in mounts if m.get("name") in wanted)
    own = (names.CACHE_DIR, names.CONTROL_TOKEN_DIR)
    others = (*(_folder(m) for m in mounts if m.get("name") not in wanted), *own)
    return PathRoots(roots, tuple(other for other in others if any(_is_below(other, root) for root in roots)))


def _items(parent: Any, key: str, named_by: str) -> Iterable[Mapping[str, Any]]:
    """The items of a list that are told apart by that key; a podTemplate may hold anything."""
    found = parent.get(key) if isinstance(parent, Mapping) else None
    items = found if isinstance(found, list | tuple) else ()
    return [item for item in items if isinstance(item, Mapping) and isinstance(item.get(named_by), str)]


def _is_secretive(volume: Mapping[str, Any]) -> bool:
    csi = volume.get("csi")
    driver = csi.get("driver") if isinstance(csi, Mapping) else None
    return bool(_SECRETIVE & volume.keys()) or driver in _SECRETIVE_DRIVERS


def _folder(mount: Mapping[str, Any]) -> str:
    return str(mount["mountPath"]).rstrip("/") or "/"


def _is_below(path: str, folder: str) -> bool:
    return path.startswith(folder.rstrip("/") + "/")
