"""Objects of one kind, as watches and lists brought them."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import Any, Final, Generic, TypeVar

import structlog
from pydantic import ValidationError

from lorapool_api.kinds.adapter import Adapter
from lorapool_api.kinds.pool import Pool
from lorapool_api.names import full_name
from lorapool_operator.seen.views import DeploymentView, OwnedView, PodView, ReplicaSetView

log = structlog.get_logger(__name__)

Body = Mapping[str, Any]
Object = Adapter | Pool | PodView | ReplicaSetView | DeploymentView | OwnedView
T = TypeVar("T", Adapter, Pool, PodView, ReplicaSetView, DeploymentView, OwnedView)

MAX_TOMBSTONES: Final = 4096


class Indexer(Generic[T]):
    """Objects of one kind, by key and by the pools that they concern. A change is answered with these pools."""

    def __init__(self, read: Callable[[Body], T], pools_of: Callable[[T], Collection[str]]) -> None:
        self._items: dict[str, T] = {}
        self._by_pool: dict[str, dict[str, T]] = {}
        self._tombstones: dict[str, int] = {}
        self._read: Callable[[Body], T] = read
        self._pools_of: Callable[[T], Collection[str]] = pools_of

    def get(self, key: str) -> T | None:
        return self._items.get(key)

    def of_pool(self, pool: str) -> tuple[T, ...]:
        return tuple(self._by_pool.get(pool, {}).values())

    def pools(self) -> Iterator[str]:
        """Keys of pools that some object belongs to."""
        return iter(self._by_pool)

    def items(self) -> tuple[tuple[str, T], ...]:
        return tuple(self._items.items())

    def put_manifest(self, body: Body) -> set[str]:
        """As `put`. A manifest that cannot be read is logged and left out."""
        if self._is_known(body):
            return set()
        item = self._readable(body)
        return set() if item is None else self.put(_key(body), item)

    def remove_manifest(self, body: Body) -> set[str]:
        """As `remove`."""
        item = self._readable(body)
        return set() if item is None else self.remove(_key(body), item)

    def remove_all_but(self, before: Iterable[tuple[str, T]], present: Collection[str]) -> set[str]:
        """Remove what was there before a list was asked for, and is not in it: `present` are the uids of what is."""
        gone = [self.remove(key, item) for key, item in before if _uid(item) not in present]
        return set().union(*gone)

    def put(self, key: str, item: T) -> set[str]:
        """None are concerned if this is known already, or older than what is known."""
        old = self._items.get(key)
        if old is not None and _uid(old) == _uid(item) and _version(item) <= _version(old):
            return set()
        if _version(item) <= self._tombstones.get(_uid(item), -1):
            return set()
        pools = self._pools_of(item)
        concerned = self._take(key) | set(pools)
        self._items[key] = item
        for pool in pools:
            self._by_pool.setdefault(pool, {})[key] = item
        return concerned

    def refresh(self, body: Body, known: T | None = None) -> set[str]:
        """Take over what a write of ours returned, unless the object went in between. `known`: it as it was read.

        Concerned are the pools of an object that somebody else edited before our write. What is returned has that edit
        already, so the watch that tells of it later brings nothing new. So are those of one that has other pools now.
        """
        key, item = _key(body), known or self._read(body)
        old = self._items.get(key)
        if old is None or _uid(old) != _uid(item):
            return set()
        concerned = self.put(key, item)
        is_news = _edited(old) != _edited(item) or set(self._pools_of(old)) != set(self._pools_of(item))
        return concerned if is_news else set()

    def remove(self, key: str, last: T) -> set[str]:
        """Note that an object went. A list that is older cannot bring it back."""
        known = self._items.get(key)
        self._tombstones[_uid(last)] = _version(last)
        if len(self._tombstones) > MAX_TOMBSTONES:
            del self._tombstones[next(iter(self._tombstones))]
        return self._take(key) if known is not None and _uid(known) == _uid(last) else set()

    def _take(self, key: str) -> set[str]:
        old = self._items.pop(key, None)
        if old is None:
            return set()
        pools = set(self._pools_of(old))
        for pool in pools:
            rest = self._by_pool[pool]
            del rest[key]
            if not rest:
                del self._by_pool[pool]
        return pools

    def _is_known(self, body: Body) -> bool:
        """Whether it is what is known already, or older: what our own writes returned the watch brings once more, and
        it need not be read again."""
        meta, known = body["metadata"], self._items.get(_key(body))
        version = str(meta.get("resourceVersion", ""))
        if known is None or _uid(known) != meta.get("uid") or not version.isdecimal():
            return False
        return int(version) <= _version(known)

    def _readable(self, body: Body) -> T | None:
        try:
            return self._read(body)
        except ValidationError as error:
            log.warning("an object cannot be read", kind=body.get("kind"), object=_key(body), error=str(error))
            return None


def _key(body: Body) -> str:
    return full_name(body["metadata"]["namespace"], body["metadata"]["name"])


def _uid(item: Object) -> str:
    return item.metadata.uid if isinstance(item, Adapter | Pool) else item.uid


def _edited(item: Object) -> tuple[object, ...]:
    """What no write of ours changes."""
    if isinstance(item, Adapter | Pool):
        return item.metadata.generation, item.metadata.annotations, item.metadata.is_terminating
    return ()


def _version(item: Object) -> int:
    """Resource versions of one object grow; a reply to a write may overtake the watch."""
    text = item.metadata.resource_version if isinstance(item, Adapter | Pool) else item.resource_version
    return int(text) if text.isdecimal() else 0
