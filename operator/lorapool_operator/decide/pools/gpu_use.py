"""How many GPUs a pool takes, beside what its adapters would take with a Deployment each."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lorapool_api.kinds.pool import Pool
from lorapool_api.names import RUNTIME_CONTAINER
from lorapool_operator.seen.observed import Observed
from lorapool_operator.seen.views import PodTrouble, PodView


@dataclass(frozen=True)
class GpuUse:
    """GPUs that the pool's pods hold; those that one pod for each served adapter would hold."""

    pooled: int = 0
    dedicated: int = 0


def gpu_use(seen: Observed, served_adapters: int) -> GpuUse:
    """What is held now."""
    if seen.pool is None:
        return GpuUse()
    each = gpus_of_a_pod(seen.pool)
    return GpuUse(each * sum(map(_holds_its_devices, seen.pods)), each * served_adapters)


def gpus_of_a_pod(pool: Pool) -> int:
    """By the limits of its container: `nvidia.com/gpu`, MIG slices, other makers' the same."""
    runtime = pool.spec.runtime
    stated: dict[str, Any] = dict(runtime.resources.manifest()) if runtime.resources else {}
    containers = ((runtime.pod_template or {}).get("spec") or {}).get("containers") or ()
    ours = (c for c in containers if isinstance(c, Mapping) and c.get("name") == RUNTIME_CONTAINER)
    for container in ours:
        stated |= container.get("resources") or {}
    limits = stated.get("limits") or stated.get("requests") or {}
    return sum(_count(amount) for name, amount in limits.items() if _is_gpu(str(name)))


def _is_gpu(resource: str) -> bool:
    _, is_of_a_maker, name = resource.partition("/")
    return bool(is_of_a_maker) and (name == "gpu" or name.startswith(("gpu.", "mig-")))


def _count(amount: object) -> int:
    return int(str(amount)) if str(amount).isdigit() else 0


def _holds_its_devices(pod: PodView) -> bool:
    """From its place on a node until its end, also while it terminates."""
    is_unplaced = pod.problem is not None and pod.problem.kind is PodTrouble.UNSCHEDULABLE
    return pod.phase not in ("Succeeded", "Failed") and not is_unplaced
