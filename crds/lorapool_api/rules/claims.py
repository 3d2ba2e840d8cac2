"""Who has which name: adapters' names, their model ids and the pools' aliases share one space per pool.

Operator and gateway ask the same functions, so that they can never disagree.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from lorapool_api.kinds.adapter import Adapter
from lorapool_api.kinds.pool import Pool

_BEGINNING = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True)
class Claims:
    """The names of one pool.

    Attributes:
        owners: name -> key (`namespace/name`) of the adapter that has it, or the pool's own key for the bare base.
        conflicts: adapter's key -> the names it claims that another has, each with that owner's key.
    """

    pool: str
    owners: Mapping[str, str] = field(default_factory=dict)
    conflicts: Mapping[str, Mapping[str, str]] = field(default_factory=dict)


def pool_names(pool: Pool) -> tuple[str, ...]:
    """The names that a request may use for the bare base: the pool's own, full and short, its Hub id, its aliases."""
    hub = pool.spec.model.source.hub
    hub_id = (hub.repo,) if hub else ()
    return (pool.metadata.name, pool.key, *hub_id, *pool.spec.model.aliases)


def adapter_names(adapter: Adapter) -> tuple[str, ...]:
    """The names that an adapter claims: its own and its model ids. `namespace/name` is the adapter's own anyway."""
    return tuple(dict.fromkeys((adapter.metadata.name, *adapter.spec.model_ids)))


def settle(pool: Pool, adapters: Iterable[Adapter]) -> Claims:
    """Give every name to whoever was created first; on a tie to the smaller namespace/name.

    The pool's names are never given away. A loser keeps none of its names, so that a request can never reach
    it under half of them; it gets them when the winner goes.
    """
    owners = dict.fromkeys(pool_names(pool), pool.key)
    conflicts: dict[str, dict[str, str]] = {}
    for adapter in sorted(adapters, key=_seniority):
        wanted = adapter_names(adapter)
        taken = {name: owners[name] for name in wanted if name in owners}
        if taken:
            conflicts[adapter.key] = taken
        else:
            owners |= dict.fromkeys(wanted, adapter.key)
    return Claims(pool.key, owners, conflicts)


def _seniority(adapter: Adapter) -> tuple[datetime, str]:
    return adapter.metadata.creation_timestamp or _BEGINNING, adapter.key
