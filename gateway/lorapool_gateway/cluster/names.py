"""Every name that a request may use, with all that it may stand for: kept while objects change, not made anew."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from lorapool_api.kinds.adapter import Adapter
from lorapool_api.kinds.conditions import AdapterCondition, Reason, find
from lorapool_api.kinds.pool import NamespacesFrom, Pool
from lorapool_api.rules.claims import adapter_names, pool_names, settle


@dataclass(frozen=True)
class Model:
    """What a name stands for: the bare base of a pool, or one adapter of it."""

    pool: str
    adapter: str | None = None

    @property
    def full_name(self) -> str:
        return self.adapter or self.pool


@dataclass(frozen=True)
class Names:
    """Attributes:
    models: every name with all that it may stand for. The full name of an object stands for that object alone.
    wanted: how many objects want the name, whether they got it or not; who a name is kept for counts too.
    """

    models: Mapping[str, frozenset[Model]] = field(default_factory=dict)
    wanted: Mapping[str, int] = field(default_factory=dict)

    def with_adapter(self, adapter: Adapter) -> "Names | None":
        """These and the names of one more adapter; None where it wants one that somebody else wants too.

        Where nobody else wants its names it gets them, in its pool or not, and nobody's share changes.
        """
        names = _wanted_by(adapter)
        if any(name in self.wanted for name in names):
            return None
        model = frozenset({Model(adapter.serving_pool, adapter.key)})
        return Names({**self.models, **dict.fromkeys(names, model)}, {**self.wanted, **dict.fromkeys(names, 1)})

    def without_adapter(self, adapter: Adapter) -> "Names | None":
        """These without the names of one adapter; None where somebody else wants one of them."""
        names = _wanted_by(adapter)
        if any(self.wanted.get(name) != 1 for name in names):
            return None
        models, wanted = dict(self.models), dict(self.wanted)
        for name in names:
            models.pop(name, None)
            wanted.pop(name)
        return Names(models, wanted)


def facts(known: Pool | Adapter) -> tuple[object, ...]:
    """All of the object that names depend on: while it stays the same, so do they."""
    if isinstance(known, Pool):
        return known.key, pool_names(known), known.spec.adapters.namespaces.from_, known.status.kept_names
    made, held = known.metadata.creation_timestamp, frozenset(row.name for row in known.status.names)
    return known.key, known.serving_pool, adapter_names(known), made, held, _is_let_in(known)


def name_all(pools: Mapping[str, Pool], adapters: Mapping[str, Adapter]) -> Names:
    """The names of everything there is."""
    members: dict[str, list[Adapter]] = {key: [] for key in pools}
    orphans: list[Adapter] = []
    for adapter in adapters.values():
        pool = pools.get(adapter.serving_pool)
        (members[pool.key] if pool and may_join(adapter, pool) else orphans).append(adapter)
    names: defaultdict[str, set[Model]] = defaultdict(set)
    for pool in pools.values():
        claims = settle(pool, members[pool.key], pool.status.kept_names)
        orphans += (adapters[key] for key in claims.conflicts)
        for name, owner in claims.owners.items():
            names[name].add(Model(pool.key, None if owner == pool.key else owner))
    _add_the_unclaimed(names, orphans)
    models = {name: frozenset(found) for name, found in names.items()}
    models |= {key: frozenset({Model(a.serving_pool, key)}) for key, a in adapters.items()}
    models |= {key: frozenset({Model(key)}) for key in pools}
    wanted = Counter(name for adapter in adapters.values() for name in _wanted_by(adapter))
    wanted.update(name for pool in pools.values() for name in {*pool_names(pool), pool.key})
    wanted.update(row.name for pool in pools.values() for row in pool.status.kept_names)
    return Names(models, wanted)


def _add_the_unclaimed(names: dict[str, set[Model]], orphans: Iterable[Adapter]) -> None:
    """Names of adapters that no pool has taken in, or that lost one, where nobody else has it: the error tells why."""
    taken = frozenset(names)
    for adapter in orphans:
        for name in adapter_names(adapter):
            if name not in taken:
                names.setdefault(name, set()).add(Model(adapter.serving_pool, adapter.key))


def _wanted_by(adapter: Adapter) -> tuple[str, ...]:
    return tuple(dict.fromkeys((*adapter_names(adapter), adapter.key)))


def may_join(adapter: Adapter, pool: Pool) -> bool:
    """Whether the pool takes adapters of that namespace. For a label selector that is the operator's verdict."""
    match pool.spec.adapters.namespaces.from_:
        case NamespacesFrom.ALL:
            return True
        case NamespacesFrom.SAME:
            return adapter.metadata.namespace == pool.metadata.namespace
    return _is_let_in(adapter)


def _is_let_in(adapter: Adapter) -> bool:
    if adapter.is_moving:
        return adapter.is_ready  # what is said of its acceptance is about the pool that it moves to
    accepted = find(adapter.status.conditions, AdapterCondition.ACCEPTED)
    return accepted is not None and accepted.reason is not Reason.NAMESPACE_NOT_ALLOWED
