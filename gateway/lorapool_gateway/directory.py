"""The newest snapshot, and a signal whenever it changes."""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, cast

import structlog
from pydantic import ValidationError

from lorapool_api.adapter import Adapter
from lorapool_api.names import full_name
from lorapool_api.pool import Pool
from lorapool_gateway.snapshot import Pod, Snapshot, read_pod

log = structlog.get_logger(__name__)

Manifest = Mapping[str, Any]
Known = Pool | Adapter | Pod


class Kind(Enum):
    """The kinds that the gateway reads."""

    POOL = "pools"
    ADAPTER = "adapters"
    POD = "pods"


class Signal:
    """Wakes everyone who waits, each time that something changes."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    def fire(self) -> None:
        self._event.set()
        self._event = asyncio.Event()

    def next(self) -> asyncio.Event:
        """The event of the next change. Take it before looking, wait for it after: then no change is missed."""
        return self._event


@dataclass(frozen=True)
class _Entry:
    namespace: str
    value: Known


class Directory:
    """What exists, as far as the API server has told. It forgets nothing while the API server is away."""

    def __init__(self, changed: Signal | None = None) -> None:
        self.changed = changed or Signal()
        self._entries: dict[Kind, dict[str, _Entry]] = {kind: {} for kind in Kind}
        self._snapshot: Snapshot | None = None

    def snapshot(self) -> Snapshot:
        """Everything known now."""
        if self._snapshot is None:
            pools, adapters, pods = ({k: e.value for k, e in self._entries[kind].items()} for kind in Kind)
            self._snapshot = Snapshot(
                pools=cast(Mapping[str, Pool], pools),
                adapters=cast(Mapping[str, Adapter], adapters),
                pods=cast(Mapping[str, Pod], pods),
            )
        return self._snapshot

    def replace(self, kind: Kind, namespace: str | None, manifests: Iterable[Manifest]) -> None:
        """Take a whole list for what is known of that kind in that namespace (None: in all)."""
        listed = {key: entry for m in manifests if (key := _key(kind, m)) and (entry := _read(kind, m))}
        others = {} if namespace is None else {k: e for k, e in self._entries[kind].items() if e.namespace != namespace}
        self._entries[kind] = others | listed
        self._has_changed()

    def put(self, kind: Kind, manifest: Manifest) -> None:
        """Take an object that was added or modified; what cannot be served any more is dropped."""
        entry = _read(kind, manifest)
        if entry is None:
            self.drop(kind, manifest)
            return
        self._entries[kind][_key(kind, manifest)] = entry
        self._has_changed()

    def drop(self, kind: Kind, manifest: Manifest) -> None:
        """Forget an object."""
        if self._entries[kind].pop(_key(kind, manifest), None):
            self._has_changed()

    def _has_changed(self) -> None:
        self._snapshot = None
        self.changed.fire()


def _key(kind: Kind, manifest: Manifest) -> str:
    metadata = manifest["metadata"]
    return str(metadata["uid"]) if kind is Kind.POD else full_name(metadata["namespace"], metadata["name"])


_READERS: Mapping[Kind, Callable[[Manifest], Known | None]] = {
    Kind.POOL: Pool.model_validate,
    Kind.ADAPTER: Adapter.model_validate,
    Kind.POD: read_pod,
}


def _read(kind: Kind, manifest: Manifest) -> _Entry | None:
    """The object, or None where it cannot be used. One that this version cannot read must not hide the others."""
    try:
        value = _READERS[kind](manifest)
    except ValidationError as problem:
        log.warning("unreadable object", kind=kind.value, key=_key(kind, manifest), problem=str(problem))
        return None
    return _Entry(manifest["metadata"]["namespace"], value) if value else None
