"""Which adapters may join a pool, and which of them has which name."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime

from lorapool_api.kinds.adapter import Adapter
from lorapool_api.kinds.pool import NamespacesFrom
from lorapool_api.kinds.status.names import HeldName, KeptName
from lorapool_api.rules.claims import Claims, settle, settled_with
from lorapool_operator.seen.desired import DesiredPool

Labels = Mapping[str, str]


@dataclass(frozen=True)
class NamesInput:
    """What names depend on.

    Attributes:
        namespace_labels: labels by namespace, as far as they are known.
        kept: names that nobody has, kept for a namespace.
    """

    key: str
    pool: DesiredPool | None
    adapters: tuple[Adapter, ...]
    namespace_labels: Mapping[str, Labels]
    kept: tuple[KeptName, ...] = ()


def settle_names(given: NamesInput) -> Claims:
    """Who has which name. Adapters that may not join claim nothing; one that is being deleted keeps its names."""
    if given.pool is None:
        return Claims(given.key)
    return settle(given.pool.stripped, _members(given, given.pool, given.adapters), given.kept)


def names_with(before: Claims, given: NamesInput, came: Iterable[Adapter]) -> Claims | None:
    """What `settle_names` says, where nothing is new but that these have come; None: it has to be asked."""
    if given.pool is None:
        return before
    return settled_with(before, _members(given, given.pool, came), given.kept)


def _members(given: NamesInput, pool: DesiredPool, adapters: Iterable[Adapter]) -> Iterator[Adapter]:
    labels = given.namespace_labels
    namespaces = ((adapter, adapter.metadata.namespace) for adapter in adapters)
    return (adapter for adapter, space in namespaces if admits(pool, space, labels.get(space)))


def held_names(
    names: Iterable[str], before: Iterable[HeldName], now: datetime, first: datetime | None = None
) -> tuple[HeldName, ...]:
    """The names as a status records them: one that it has had before with the time since when.

    Args:
        first: since when it has those that no status has recorded yet; None: since now.
    """
    held = {one.name: one for one in before}
    stamp = first or now.replace(microsecond=0)
    return tuple(held.get(name) or HeldName(name=name, since=stamp) for name in names)


def admits(pool: DesiredPool, namespace: str, labels: Labels | None) -> bool:
    """Whether adapters of the namespace may join the pool. `labels` are the namespace's, None where unknown."""
    rule = pool.spec.adapters.namespaces
    match rule.from_:
        case NamespacesFrom.ALL:
            return True
        case NamespacesFrom.SAME:
            return namespace == pool.namespace
        case NamespacesFrom.SELECTOR:
            return rule.selector is not None and labels is not None and rule.selector.matches(dict(labels))
