"""Names of adapters that went: kept for a while for their namespaces, so that no other takes them meanwhile.

An adapter that is deleted and created again (a release that is installed anew, a tool that prunes) is another object.
Between the two somebody else who waits for its name would get it, and its clients another adapter's images.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from lorapool_api.kinds.adapter import Adapter
from lorapool_api.kinds.pool import NamespacesFrom, Pool
from lorapool_api.kinds.status.names import MOST_KEPT_NAMES, KeptName
from lorapool_api.names import split_full_name
from lorapool_api.rules.claims import held_in

KEPT_S: Final = 3600.0


@dataclass(frozen=True)
class NamesMemory:
    """What a pass remembers of names for the next one.

    Attributes:
        pool_uid: of the pool that they are of; empty: no pass has been yet.
        owners: names with the key of who had each.
    """

    pool_uid: str = ""
    owners: Mapping[str, str] = field(default_factory=dict)
    kept: tuple[KeptName, ...] = ()

    def after(
        self, pool: Pool | None, gone: Collection[str], adapters: tuple[Adapter, ...], now: datetime
    ) -> tuple[KeptName, ...]:
        """The names that are kept now, by the pool's status where no pass remembers any. `gone`: keys of adapters."""
        if pool is None:
            return ()
        before = self.kept if self.pool_uid == pool.metadata.uid else pool.status.kept_names
        had = {name: key for name, key in self.owners.items() if key in gone} if gone else {}
        return kept_names(pool, before, had, adapters, now)


NO_NAMES: Final = NamesMemory()


def kept_names(
    pool: Pool, before: Iterable[KeptName], had: Mapping[str, str], adapters: tuple[Adapter, ...], now: datetime
) -> tuple[KeptName, ...]:
    """The names that are kept now; none where the pool takes adapters of its own namespace alone.

    Args:
        before: those that were kept.
        had: names with the key of the adapter that had each and has gone.
    """
    if pool.spec.adapters.namespaces.from_ is NamespacesFrom.SAME:
        return ()
    kept = {row.name: row for row in before if row.until > now}
    until = now.replace(microsecond=0) + timedelta(seconds=KEPT_S)
    gone = ((name, split_full_name(key)[0]) for name, key in had.items())
    kept |= {name: KeptName(name=name, namespace=space, until=until) for name, space in gone}
    if not kept:
        return ()
    # Until a status records that an adapter of the namespace has it again: then nobody takes it from that one.
    held = {(name, a.metadata.namespace) for a in adapters for name in held_in(a, pool.key) if name in kept}
    rows = [row for row in kept.values() if (row.name, row.namespace) not in held]
    return tuple(sorted(rows, key=lambda row: (-row.until.timestamp(), row.name))[:MOST_KEPT_NAMES])
