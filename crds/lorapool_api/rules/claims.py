"""Who has which name: adapters' names, their model ids and the pools' aliases share one space per pool.

Operator and gateway ask the same functions, so that they can never disagree. Who had a name keeps it, whoever else
comes to want it: what statuses record goes before what anybody asks for.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

from lorapool_api.kinds.adapter import Adapter
from lorapool_api.kinds.pool import Pool
from lorapool_api.kinds.status.names import KeptName
from lorapool_api.names import split_full_name

_BEGINNING: Final = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True)
class Claims:
    """The names of one pool.

    Attributes:
        owners: name -> key (`namespace/name`) of the adapter that has it, or the pool's own key for the bare base.
        conflicts: adapter's key -> the names it claims and may not have, each with the key of who has it, or as
            `kept_for` says for which namespace it is kept.
    """

    pool: str
    owners: Mapping[str, str] = field(default_factory=dict)
    conflicts: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    def names_of(self, adapter: Adapter) -> tuple[str, ...]:
        """The names that the adapter has; of one that lost a name those that it had before, which nobody else gets."""
        wanted = adapter_names(adapter)
        if adapter.key in self.conflicts:
            before = held_in(adapter, self.pool)
            return tuple(name for name in wanted if name in before)
        return tuple(name for name in wanted if self.owners.get(name) == adapter.key)


NO_CLAIMS: Final = Claims("")


def kept_for(namespace: str) -> str:
    """The owner of a name that is kept for adapters of a namespace: no object has such a key."""
    return f"{namespace}/"


def pool_names(pool: Pool) -> tuple[str, ...]:
    """The names that a request may use for the bare base: the pool's own, full and short, its Hub id, its aliases."""
    hub = pool.spec.model.source.hub
    hub_id = (hub.repo,) if hub else ()
    return (pool.metadata.name, pool.key, *hub_id, *pool.spec.model.aliases)


def adapter_names(adapter: Adapter) -> tuple[str, ...]:
    """The names that an adapter claims: its own and its model ids. `namespace/name` is the adapter's own anyway."""
    return tuple(dict.fromkeys((adapter.metadata.name, *adapter.spec.model_ids)))


def held_in(adapter: Adapter, pool: str) -> frozenset[str]:
    """The names that the adapter's status records it to have in that pool."""
    status = adapter.status
    return frozenset(held.name for held in status.names) if status.pool_name == pool and status.names else frozenset()


def settle(pool: Pool, adapters: Iterable[Adapter], kept: Sequence[KeptName] = ()) -> Claims:
    """Give every name to whoever has it already; else to the adapters of the pool's own namespace, before those of
    others; among these to whoever was created first; on a tie to the smaller namespace/name.

    The pool's names are never given away. A loser keeps none of its names, so that a request can never reach it under
    half of them; it gets them when the winner goes, one of another namespace once the name is not kept any more. But no
    namespace keeps an adapter of another from being served by having its short name: that one goes by its full name.
    """
    names = _Names(pool, sorted(adapters, key=lambda adapter: _precedence(adapter, pool)), kept)
    for adapter in names.ordered:
        names.claim(adapter)
    return Claims(pool.key, names.owners, names.conflicts)


def settled_with(before: Claims, came: Iterable[Adapter], kept: Sequence[KeptName] = ()) -> Claims | None:
    """What `settle` says once these have come too, where nobody else may want their names; None: it has to be asked.

    Without conflicts every name that some adapter wants has an owner, or is kept for another namespace.
    """
    if before.conflicts:
        return None
    owners, reserved = dict(before.owners), {row.name for row in kept}
    for adapter in came:
        wanted = adapter_names(adapter)
        if any(name in owners or name in reserved for name in wanted):
            return None
        owners |= dict.fromkeys(wanted, adapter.key)
    return Claims(before.pool, owners)


class _Names:
    """The names of a pool while they are settled.

    Attributes:
        ordered: the adapters, those first that go before others.
    """

    def __init__(self, pool: Pool, ordered: Sequence[Adapter], kept: Sequence[KeptName]) -> None:
        self.ordered = ordered
        self.owners = dict.fromkeys(pool_names(pool), pool.key)
        self.conflicts: dict[str, dict[str, str]] = {}
        self._kept = {row.name: row.namespace for row in kept}
        self._holders: dict[str, str] = {}
        for adapter in ordered:
            if held := held_in(adapter, pool.key):
                for name in held.intersection(adapter_names(adapter)):
                    self._holders.setdefault(name, adapter.key)

    def claim(self, adapter: Adapter) -> None:
        wanted = adapter_names(adapter)
        taken = {name: who for name in wanted if (who := self._other(name, adapter)) is not None}
        own = adapter.metadata.name
        if own in taken and split_full_name(taken[own])[0] != adapter.metadata.namespace:
            del taken[own]
            wanted = tuple(name for name in wanted if name != own)
        if taken:
            self.conflicts[adapter.key] = taken
        else:
            self.owners |= dict.fromkeys(wanted, adapter.key)

    def _other(self, name: str, adapter: Adapter) -> str | None:
        """Who else has the name, or is to have it."""
        owner = self.owners.get(name) or self._holders.get(name)
        if owner is not None:
            return None if owner == adapter.key else owner
        namespace = self._kept.get(name)
        return None if namespace in (None, adapter.metadata.namespace) else kept_for(str(namespace))


def _precedence(adapter: Adapter, pool: Pool) -> tuple[bool, datetime, str]:
    meta = adapter.metadata
    return meta.namespace != pool.metadata.namespace, meta.creation_timestamp or _BEGINNING, adapter.key
