"""Which adapters may join a pool, and which of them has which name."""

from collections.abc import Mapping
from dataclasses import dataclass

from lorapool_api.kinds.adapter import Adapter
from lorapool_api.kinds.pool import NamespacesFrom
from lorapool_api.rules.claims import Claims, settle
from lorapool_operator.seen.desired import DesiredPool

Labels = Mapping[str, str]


@dataclass(frozen=True)
class NamesInput:
    """What names depend on.

    Attributes:
        namespace_labels: labels by namespace, as far as they are known.
    """

    key: str
    pool: DesiredPool | None
    adapters: tuple[Adapter, ...]
    namespace_labels: Mapping[str, Labels]


def settle_names(given: NamesInput) -> Claims:
    """Who has which name. Adapters that may not join claim nothing; one that is being deleted keeps its names."""
    pool, labels = given.pool, given.namespace_labels
    if pool is None:
        return Claims(given.key)
    namespaces = ((a, a.metadata.namespace) for a in given.adapters)
    return settle(pool.stripped, (a for a, space in namespaces if admits(pool, space, labels.get(space))))


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
