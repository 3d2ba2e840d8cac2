"""Rules of pools and adapters: what their conditions say, in the order in which they come true. Pure."""

from collections.abc import Iterator, Sequence

from pydantic import ValidationError

from lorapool_api.kinds.adapter import Adapter
from lorapool_api.kinds.conditions import AdapterCondition, Condition, PoolCondition, find
from lorapool_api.kinds.pool import Pool
from lorapool_common.validation import first_error
from lorapool_local.doctor.advice import advice, level_of
from lorapool_local.doctor.diagnosis import Diagnosis, Severity, good, wrong
from lorapool_local.doctor.facts import ClusterFacts, Manifest, full_name
from lorapool_local.doctor.installation import pod_trouble

_UNSEEN = "the operator has not looked at it"
_IS_OPERATOR_THERE = "see that the operator leads, and watches this namespace (watchNamespaces)"


def check_pools(facts: ClusterFacts) -> list[Diagnosis]:
    """Each pool: whether it serves, and what its pods say where it does not."""
    return [finding for manifest in facts.pools for finding in _pool(manifest, facts)]


def check_adapters(facts: ClusterFacts) -> list[Diagnosis]:
    """Each adapter: the first of its conditions that is not true."""
    return [finding for manifest in facts.adapters for finding in _adapter(manifest)]


def _pool(manifest: Manifest, facts: ClusterFacts) -> Iterator[Diagnosis]:
    about = f"pool {full_name(manifest)}"
    try:
        pool = Pool.model_validate(manifest)
    except ValidationError as error:
        yield _unread(about, error)
        return
    conditions, generation = pool.status.conditions, pool.metadata.generation
    ready = find(conditions, PoolCondition.READY)
    if ready is None or ready.observed_generation < generation:
        yield wrong(about, _UNSEEN if ready is None else f"{_UNSEEN} since it was edited", _IS_OPERATOR_THERE)
    if ready is not None and not ready.is_true:
        yield _not_true(about, ready)
        yield from _pods(pool, facts)
    elif ready is not None:
        counts = pool.status.adapters
        yield good(about, f"{ready.message}; {counts.ready} of {counts.total} adapters are served")
    degraded = find(conditions, PoolCondition.DEGRADED)
    if degraded is not None and degraded.is_true and (ready is None or degraded.message != ready.message):
        yield Diagnosis(Severity.WARNING, about, f"{degraded.reason}: {degraded.message}", advice(degraded.reason))


def _pods(pool: Pool, facts: ClusterFacts) -> Iterator[Diagnosis]:
    for pod in facts.pods:
        labels = pod["metadata"].get("labels") or {}
        is_of_it = labels.get("lorapool.dev/pool") == pool.metadata.name
        if is_of_it and pod["metadata"]["namespace"] == pool.metadata.namespace and (why := pod_trouble(pod)):
            yield wrong(
                f"pod {full_name(pod)}",
                why,
                f"kubectl -n {pool.metadata.namespace} describe pod {pod['metadata']['name']}",
            )


def _adapter(manifest: Manifest) -> Iterator[Diagnosis]:
    about = f"adapter {full_name(manifest)}"
    try:
        adapter = Adapter.model_validate(manifest)
    except ValidationError as error:
        yield _unread(about, error)
        return
    conditions = adapter.status.conditions
    if not conditions:
        yield wrong(about, _UNSEEN, _IS_OPERATOR_THERE)
        return
    first = _first_untrue(conditions)
    if first is not None:
        yield _not_true(about, first)
    elif conditions[0].observed_generation < adapter.metadata.generation:
        yield Diagnosis(Severity.WAIT, about, f"{_UNSEEN} since it was edited", "wait a moment")
    else:
        yield good(about, "is served")


def _first_untrue(conditions: Sequence[Condition]) -> Condition | None:
    found = (find(conditions, type_) for type_ in AdapterCondition if type_ is not AdapterCondition.UP_TO_DATE)
    return next((c for c in found if c is not None and not c.is_true), None)


def _not_true(about: str, condition: Condition) -> Diagnosis:
    what = f"{condition.type} is {condition.status}: {condition.reason}: {condition.message}"
    return Diagnosis(level_of(condition.reason), about, what, advice(condition.reason))


def _unread(about: str, error: ValidationError) -> Diagnosis:
    place, first = first_error(error)
    return wrong(about, f"cannot be read: {place}: {first['msg']}", "it was stored by another version: apply it anew")
