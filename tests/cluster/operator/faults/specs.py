"""What specs ask for, and every difference from it that there is: in statuses, in pods' catalogs, in owned objects."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.cluster.operator.harness import Cluster

from lorapool_api.kinds.adapter import Adapter
from lorapool_api.kinds.conditions import PoolCondition, find
from lorapool_api.kinds.pool import Pool
from lorapool_api.names import ADAPTER_FINALIZER, POOL_LABEL, runtime_name
from lorapool_common.kube.resources import (
    ADAPTERS,
    BUDGETS,
    DEPLOYMENTS,
    PODS,
    POOLS,
    SERVICES,
    Resource,
)
from lorapool_operator.manifests.deployment import Installation
from lorapool_operator.manifests.objects import WantedObjects, manifests

Manifest = dict[str, Any]
OWNED = (DEPLOYMENTS, SERVICES, BUDGETS)


@dataclass(frozen=True)
class Expected:
    """What an adapter's status shall say.

    Attributes:
        summary: in one word.
        sha256: of the file that is served; None: it is not Ready.
        has_candidate: whether it was served before its spec asked for what cannot be served.
    """

    summary: str
    sha256: str | None = None
    has_candidate: bool = False


@dataclass(frozen=True)
class Specs:
    """All that a namespace shall be like: its adapters by name, and its pools."""

    adapters: Mapping[str, Expected]
    pools: Sequence[str] = ("shapes",)


@dataclass
class Found:
    """What there is."""

    adapters: dict[str, Adapter]
    pools: dict[str, Pool]
    owned: dict[tuple[str, str], Manifest]
    pods: dict[str, Manifest]
    catalogs: dict[str, Mapping[str, str | None]] = field(default_factory=dict)


async def look(it: Cluster, catalogs: Mapping[str, Mapping[str, str | None]]) -> Found:
    """`catalogs`: key and sha256 of what each pod may serve, by the pod's name."""

    async def items(resource: Resource, labels: str | None = None) -> dict[str, Manifest]:
        return {b["metadata"]["name"]: b for b in await it.kube.list(resource, it.namespace, labels)}

    owned = {(r.kind, name): body for r in OWNED for name, body in (await items(r, POOL_LABEL)).items()}
    return Found(
        {name: Adapter.model_validate(body) for name, body in (await items(ADAPTERS)).items()},
        {name: Pool.model_validate(body) for name, body in (await items(POOLS)).items()},
        owned,
        {n: b for n, b in (await items(PODS, POOL_LABEL)).items() if "deletionTimestamp" not in b["metadata"]},
        dict(catalogs),
    )


def differences(found: Found, specs: Specs, installation: Installation) -> list[str]:
    """In words; none where all is as it shall be."""
    return [
        *_names("adapters", found.adapters, specs.adapters),
        *_names("pools", found.pools, specs.pools),
        *(d for name, wanted in specs.adapters.items() for d in _of_adapter(found.adapters.get(name), wanted)),
        *(d for pool in found.pools.values() for d in _of_pool(pool, found)),
        *(d for pool in found.pools.values() for d in _of_objects(pool, found, installation)),
        *_strangers(found),
    ]


def _names(what: str, there: Mapping[str, object], wanted: Mapping[str, object] | Sequence[str]) -> Iterator[str]:
    if set(there) != set(wanted):
        yield f"there are {what} {sorted(there)}, there shall be {sorted(wanted)}"


def _of_adapter(adapter: Adapter | None, wanted: Expected) -> Iterator[str]:
    if adapter is None:
        return
    status, generation = adapter.status, adapter.metadata.generation
    about = {status.observed_generation, *(c.observed_generation for c in status.conditions)}
    if about != {generation}:
        yield f"{adapter.key}: its status is about {about}, not {generation}"
    served = status.serving.sha256 if adapter.is_ready and status.serving else None
    said = Expected(status.summary or "", served, status.candidate is not None)
    if said != wanted:
        yield f"{adapter.key}: {said}, wanted {wanted}"
    if wanted.sha256 is not None and ADAPTER_FINALIZER not in adapter.metadata.finalizers:
        yield f"{adapter.key}: it has no finalizer"


def _of_pool(pool: Pool, found: Found) -> Iterator[str]:
    pods = {n: b for n, b in found.pods.items() if b["metadata"]["labels"][POOL_LABEL] == pool.metadata.name}
    status, wanted = pool.status, pool.spec.replicas
    if len(pods) != wanted or (status.replicas, status.ready_replicas) != (wanted, wanted):
        yield f"{pool.key}: {len(pods)} pods, {status.replicas} in status, {status.ready_replicas} ready, not {wanted}"
    ready = find(status.conditions, PoolCondition.READY)
    if ready is None or ready.is_true != bool(wanted) or ready.observed_generation != pool.metadata.generation:
        yield f"{pool.key}: {ready}"
    mine = [a for a in found.adapters.values() if a.pool_key == pool.key]
    counted = {"total": len(mine), "ready": sum(a.is_ready for a in mine)}
    said = status.adapters.manifest() if status.adapters else {}
    if {name: said.get(name) for name in counted} != counted:
        yield f"{pool.key}: it counts {said}, there are {counted}"
    for name in pods:
        yield from _of_catalog(name, found.catalogs.get(name, {}), mine)


def _of_catalog(pod: str, held: Mapping[str, str | None], adapters: Sequence[Adapter]) -> Iterator[str]:
    """Each Ready adapter's version, its candidate and the one before; of the others nothing."""
    served = {a.status.serving.key: a.status.serving.sha256 for a in adapters if a.is_ready and a.status.serving}
    others = {v.key for a in adapters if a.is_ready for v in (a.status.candidate, a.status.previous) if v}
    if missing := {key: sha for key, sha in served.items() if held.get(key) != sha}:
        yield f"pod {pod} holds {dict(held)}, it lacks {missing}"
    if surplus := set(held) - set(served) - others:
        yield f"pod {pod} holds {surplus}, which nobody may have of it"


def _of_objects(pool: Pool, found: Found, installation: Installation) -> Iterator[str]:
    for manifest in manifests(WantedObjects(pool, pool, 0), installation):
        manifest.get("spec", {}).pop("strategy", None)  # of a rollout, which comes and goes
        name = (manifest["kind"], manifest["metadata"]["name"])
        there = found.owned.get(name)
        if there is None:
            yield f"{pool.key}: there is no {' '.join(name)}"
        elif lacks := [d for part in manifest if part in there for d in _lacking(manifest[part], there[part], part)]:
            yield f"{pool.key}: {' '.join(name)} is not as it shall be: {lacks}"


def _lacking(wanted: Any, there: Any, path: str) -> Iterator[str]:
    """Paths at which an object is not as it was applied; the API server and others add to it."""
    if isinstance(wanted, dict) and isinstance(there, dict):
        for name, value in wanted.items():
            yield from _lacking(value, there.get(name), f"{path}.{name}")
    elif isinstance(wanted, list) and isinstance(there, list) and len(wanted) == len(there):
        for number, (one, other) in enumerate(zip(wanted, there, strict=True)):
            yield from _lacking(one, other, f"{path}[{number}]")
    elif wanted != there:
        yield f"{path}: {there!r}"


def _strangers(found: Found) -> Iterator[str]:
    """Owned objects of pools that there are not."""
    names = {runtime_name(pool) for pool in found.pools}
    if strangers := [name for name in found.owned if name[1] not in names]:
        yield f"nobody owns {strangers}"
