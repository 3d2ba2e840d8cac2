"""What the placement of a pool's adapters depends on."""

from dataclasses import dataclass
from typing import Self

from lorapool_api.kinds.pool import Pool, Prefetch
from lorapool_api.kinds.quantities import quantity_bytes
from lorapool_api.names import CONTROL_PORT
from lorapool_api.wire.state import AdapterPhase
from lorapool_operator.decide.adapters.checker import CheckResults
from lorapool_operator.decide.demands import NO_DEMANDS, AdapterDemands
from lorapool_operator.seen.changed import changed_keys, differing_keys
from lorapool_operator.seen.observed import Observed


@dataclass(frozen=True)
class Succession:
    """Pods of a rollout, by their keys.

    Attributes:
        newest: uid of the ReplicaSet of those that come.
        replaced: those that go.
        starting: those that came, and take no requests yet.
        replicas: how many there will be.
        served: keys of entries that those that go have on their disks, checked.
    """

    newest: str | None
    replaced: frozenset[str]
    starting: frozenset[str]
    replicas: int
    served: frozenset[str]

    @classmethod
    def of(cls, seen: Observed, replicas: int) -> Self | None:
        """None where nobody is replaced."""
        old = frozenset(p.key for p, _ in seen.running_pods if p.key in seen.outdated)
        if not old:
            return None
        starting = frozenset(p.key for p, _ in seen.running_pods if p.key not in old and not p.ready)
        said = (r.adapters.items() for p, r in seen.running_pods if p.key in old) if starting else ()
        served = frozenset(key for rows in said for key, state in rows if state.phase is AdapterPhase.READY)
        return cls(seen.newest, old, starting, replicas, served)


@dataclass(frozen=True)
class PlacementInput:
    """What the assignments depend on.

    Attributes:
        pods: `host:port` of the control ports of the pods that run, by the pods' keys.
        justified: copies that the requests for an adapter justify, with its key.
        disk_bytes: of each pod, for adapters; None: no bound.
        rollout: who replaces whom; None: nobody is replaced.
    """

    results: CheckResults
    copies: int | str
    prefetch: Prefetch
    pods: tuple[tuple[str, str], ...]
    justified: tuple[tuple[str, int], ...]
    disk_bytes: int | None
    rollout: Succession | None = None

    @classmethod
    def of(cls, seen: Observed, pool: Pool, results: CheckResults, demands: AdapterDemands = NO_DEMANDS) -> Self:
        spec = pool.spec.adapters
        pods = tuple(sorted((p.key, _host(p.ip)) for p, _ in seen.running_pods if p.ip))
        disk = None if spec.disk_budget is None else quantity_bytes(spec.disk_budget)
        rollout = Succession.of(seen, pool.spec.replicas)
        return cls(results, spec.copies, spec.prefetch, pods, demands.copies, disk, rollout)

    def is_like(self, before: Self) -> bool:
        """Whether they differ in adapters alone."""
        return (self.copies, self.prefetch, self.pods, self.disk_bytes, self.rollout) == (
            before.copies, before.prefetch, before.pods, before.disk_bytes, before.rollout,
        )  # fmt: skip

    @property
    def is_independent(self) -> bool:
        """Whether the pods of an adapter depend on no other adapter."""
        return self.disk_bytes is None and self.rollout is None

    def changed_since(self, before: Self) -> set[str]:
        """Keys of adapters of which other copies may be wanted."""
        keys = changed_keys(before.results, self.results)
        if self.justified == before.justified:
            return keys
        return keys | differing_keys(dict(before.justified), dict(self.justified))


def _host(ip: str | None) -> str:
    return f"[{ip}]:{CONTROL_PORT}" if ip and ":" in ip else f"{ip}:{CONTROL_PORT}"
