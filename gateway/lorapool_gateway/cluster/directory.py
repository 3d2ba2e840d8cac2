"""The newest snapshot, and a signal whenever it changes."""

from collections.abc import Callable, Iterable, Mapping
from enum import Enum
from typing import Any, cast

import structlog
from pydantic import ValidationError

from lorapool_api.kinds.adapter import Adapter
from lorapool_api.kinds.pool import Pool
from lorapool_api.names import full_name
from lorapool_common.changes import Changes
from lorapool_gateway.cluster.names import Names, facts
from lorapool_gateway.cluster.snapshot import RuntimePod, Snapshot, by_pool, read_pod

log = structlog.get_logger(__name__)

Manifest = Mapping[str, Any]
Known = Pool | Adapter | RuntimePod
# More changes than that in one list, and the names are made anew rather than one change after the other.
_FEW = 50


class ObjectKind(Enum):
    """The kinds that the gateway reads."""

    POOL = "pools"
    ADAPTER = "adapters"
    POD = "pods"


class Directory:
    """What exists, as far as the API server has told. It forgets nothing while the API server is away.

    An object of a newer version that this one cannot read stays as it was when it last could: during an upgrade the
    two stand beside each other.
    """

    def __init__(self, changes: Changes | None = None) -> None:
        self.changes = changes or Changes()
        self._known: dict[ObjectKind, dict[str, Known]] = {kind: {} for kind in ObjectKind}
        self._frozen: dict[ObjectKind, Mapping[str, Known]] = {}
        self._names: Names | None = None
        self._pods_by_pool: Mapping[str, tuple[RuntimePod, ...]] | None = None
        self._snapshot: Snapshot | None = None
        self._unreadable: set[tuple[ObjectKind, str]] = set()

    def snapshot(self) -> Snapshot:
        """Everything known now. What has not changed since the last one is the same mapping."""
        if self._snapshot is None:
            pools, adapters, pods = (self._freeze(kind) for kind in ObjectKind)
            if self._pods_by_pool is None:
                self._pods_by_pool = by_pool(cast(Mapping[str, RuntimePod], pods).values())
            self._snapshot = Snapshot(
                pools=cast(Mapping[str, Pool], pools),
                adapters=cast(Mapping[str, Adapter], adapters),
                pods=cast(Mapping[str, RuntimePod], pods),
                named=self._names,
                pods_by_pool=self._pods_by_pool,
            )
        return self._snapshot

    def replace(self, kind: ObjectKind, namespace: str | None, manifests: Iterable[Manifest]) -> None:
        """Take a whole list for what is known of that kind in that namespace (None: in all)."""
        known = self._known[kind]
        listed = {key: value for m in manifests if (value := self._read(kind, key := _key(kind, m), m))}
        gone = [key for key, v in known.items() if key not in listed and namespace in (None, _namespace(v))]
        moved = [(key, value) for key, value in listed.items() if known.get(key) != value]
        if len(gone) + len(moved) > _FEW:
            self._names, self._snapshot = None, None
        for key in gone:
            self._set(kind, key, None)
        for key, value in moved:
            self._set(kind, key, value)
        self.changes.note()

    def put(self, kind: ObjectKind, manifest: Manifest) -> None:
        """Take an object that was added or modified; what cannot be served any more is dropped."""
        key = _key(kind, manifest)
        value = self._read(kind, key, manifest)
        if self._known[kind].get(key) != value:
            self._set(kind, key, value)
            self.changes.note()

    def drop(self, kind: ObjectKind, manifest: Manifest) -> None:
        """Forget an object."""
        key = _key(kind, manifest)
        self._unreadable.discard((kind, key))
        if key in self._known[kind]:
            self._set(kind, key, None)
            self.changes.note()

    def _read(self, kind: ObjectKind, key: str, manifest: Manifest) -> Known | None:
        """The object as it is, or as it was when it could last be read; None where it cannot be used."""
        try:
            value = _READERS[kind](manifest)
        except ValidationError as error:
            if (kind, key) not in self._unreadable:
                log.warning("an object cannot be read", kind=kind.value, object=key, error=str(error)[:1000])
            self._unreadable.add((kind, key))
            last = self._known[kind].get(key)
            # One that was deleted and made anew is another.
            return last if last and _uid(last) == manifest["metadata"].get("uid", "") else None
        self._unreadable.discard((kind, key))
        return value

    def _set(self, kind: ObjectKind, key: str, value: Known | None) -> None:
        if self._snapshot is not None:
            self._names, self._snapshot = self._snapshot.known_names, None
        known = self._known[kind]
        before = known.get(key)
        if value is not None:
            known[key] = value
        else:
            known.pop(key, None)
        self._frozen.pop(kind, None)
        if kind is ObjectKind.POD:
            self._pods_by_pool = None
        else:
            self._rename(cast("Pool | Adapter | None", before), cast("Pool | Adapter | None", value))

    def _rename(self, before: Pool | Adapter | None, after: Pool | Adapter | None) -> None:
        """Keep the names in step, where they are known and that is cheap; else they are made when they are needed."""
        names = self._names
        if names is None or (before and after and facts(before) == facts(after)):
            return
        for adapter, change in ((before, Names.without_adapter), (after, Names.with_adapter)):
            if adapter is not None and names is not None:
                names = change(names, adapter) if isinstance(adapter, Adapter) else None
        self._names = names

    def _freeze(self, kind: ObjectKind) -> Mapping[str, Known]:
        if kind not in self._frozen:
            self._frozen[kind] = dict(self._known[kind])
        return self._frozen[kind]


def _key(kind: ObjectKind, manifest: Manifest) -> str:
    metadata = manifest["metadata"]
    return str(metadata["uid"]) if kind is ObjectKind.POD else full_name(metadata["namespace"], metadata["name"])


_READERS: Mapping[ObjectKind, Callable[[Manifest], Known | None]] = {
    ObjectKind.POOL: Pool.model_validate,
    ObjectKind.ADAPTER: Adapter.model_validate,
    ObjectKind.POD: read_pod,
}


def _namespace(value: Known) -> str:
    return value.pool.partition("/")[0] if isinstance(value, RuntimePod) else value.metadata.namespace


def _uid(value: Known) -> str | None:
    return value.uid if isinstance(value, RuntimePod) else value.metadata.uid
