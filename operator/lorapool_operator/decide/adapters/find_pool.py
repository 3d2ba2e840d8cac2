"""Which pool an adapter gets that names none: the one that holds the base model of its card."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from lorapool_api.kinds.adapter import NO_POOL, Adapter
from lorapool_api.kinds.conditions import Reason
from lorapool_api.rules.bases import is_base
from lorapool_operator.decide.adapters.names import Labels, admits
from lorapool_operator.seen.desired import DesiredPool
from lorapool_operator.seen.resolution import Outcome, Resolution, Resolving, Unresolved
from lorapool_operator.seen.verdict import Verdict


@dataclass(frozen=True)
class FoundPool:
    """What became of the search.

    Attributes:
        pool: the key of the pool; `NO_POOL`: there is none.
        verdict: what the adapter's status says of it.
    """

    pool: str
    verdict: Verdict


def find_pool(
    adapter: Adapter, outcome: Outcome, pools: Iterable[DesiredPool], namespace_labels: Mapping[str, Labels]
) -> FoundPool:
    """The pool of the adapter's own namespace, or else the one of another namespace that takes it. Two that are equally
    near are none: which of them was meant, people have to say."""
    verdict = _unknown_base(adapter, outcome)
    if verdict is not None or not isinstance(outcome, Resolution):
        return FoundPool(NO_POOL, verdict or _LOOKING)
    namespace, named = adapter.metadata.namespace, outcome.base_models
    holding = [pool for pool in pools if is_base(pool.spec.model, named)]
    taking = [pool for pool in holding if admits(pool, namespace, namespace_labels.get(namespace))]
    near = [pool for pool in taking if pool.namespace == namespace] or taking
    keys = sorted(pool.key for pool in near)
    if len(keys) == 1:
        text = f"pool {keys[0]} holds {', '.join(named)}, which the card names; it is asked to take the adapter"
        return FoundPool(keys[0], Verdict(Reason.RESOLVING, text))
    if keys:
        text = f"{len(keys)} pools hold {', '.join(named)}, which the card names: {', '.join(keys)}; "
        return FoundPool(NO_POOL, Verdict(Reason.POOL_AMBIGUOUS, f"{text}say which in spec.poolRef"))
    return FoundPool(NO_POOL, _no_pool(namespace, named, holding))


_LOOKING = Verdict(Reason.RESOLVING, "the repository's card is read, to find a pool of its base model")


def _unknown_base(adapter: Adapter, outcome: Outcome) -> Verdict | None:
    """Why no pool can be looked for yet, or at all."""
    if adapter.spec.suspend:
        return Verdict(Reason.SUSPENDED, "spec.suspend is true: no pool is looked for until it is false again")
    if adapter.spec.source.hub is None:
        return Verdict(Reason.INVALID_SPEC, "without spec.poolRef the source must be hub: a card names the base model")
    match outcome:
        case Unresolved(verdict):
            return verdict
        case Resolving(last):
            return last or _LOOKING
        case Resolution(base_models=()):
            text = f"the card of {adapter.spec.source.label} names no base_model; say in spec.poolRef which pool it is"
            return Verdict(Reason.POOL_NOT_FOUND, text)
    return None


def _no_pool(namespace: str, named: Iterable[str], holding: Iterable[DesiredPool]) -> Verdict:
    base = ", ".join(named)
    closed = sorted(pool.key for pool in holding)
    if closed:
        text = (
            f"the pools of {base}, which the card names, do not take adapters of namespace {namespace}: "
            f"{', '.join(closed)} (spec.adapters.namespaces); their owners can allow it"
        )
        return Verdict(Reason.NAMESPACE_NOT_ALLOWED, text)
    text = f"no BaseModelPool holds {base}, which the card names; create one, or say in spec.poolRef which pool it is"
    return Verdict(Reason.POOL_NOT_FOUND, text)
