"""Which pods of a pool hold which adapters, and what each of them is told of the others."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, Self

from lorapool_api.kinds.adapter import Adapter
from lorapool_api.kinds.pool import Pool, Prefetch
from lorapool_api.kinds.quantities import quantity_bytes
from lorapool_api.names import CONTROL_PORT
from lorapool_api.wire.catalog import CatalogEntry
from lorapool_api.wire.fleet import Assignment
from lorapool_api.wire.state import AdapterPhase
from lorapool_operator.decide.adapters.checker import CheckResult, CheckResults
from lorapool_operator.decide.demands import NO_DEMANDS, AdapterDemands
from lorapool_operator.decide.memo import Memo
from lorapool_operator.placement.place import CopyCount, Holder, PlacedCopies, WantedCopies, place
from lorapool_operator.placement.ranks import Ranks
from lorapool_operator.seen.observed import Observed

# What is held ahead leaves room for what requests bring.
_SHARE_OF_DISK: Final = 0.8
# Of a file whose size nobody knows yet.
_USUAL_BYTES: Final = 100 << 20
# Of pods that a roll-out has yet to make; no key of a pod begins so.
_TO_COME: Final = "~"


@dataclass(frozen=True)
class Succession:
    """Pods of a roll-out, by their keys.

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


@dataclass(frozen=True)
class Placements:
    """Who holds what.

    Attributes:
        assignments: by pod's key.
        copies: how many pods hold each entry of the catalog, by its key.
    """

    assignments: Mapping[str, Assignment]
    copies: Mapping[str, CopyCount]


NO_PLACEMENTS: Final = Placements({}, {})


class PlacementDecisions:
    """The placements of one pool: made anew where anything is new, from what is remembered of the order of the pods."""

    def __init__(self) -> None:
        self._ranks, self._old_ranks = Ranks(), Ranks()
        self._newest: str | None = None
        self.placed = Memo(self._place)

    def _place(self, given: PlacementInput) -> Placements:
        """In a roll-out the pods that are replaced hold what they held. Their successors share what will be due to them
        when all are there, so that each brings its part and nobody all of it."""
        names, rollout = [name for name, _ in given.pods], given.rollout
        if rollout is None:
            return _placements(given, self._placed_on(names, given, self._ranks))
        if rollout.newest != self._newest:
            self._newest, self._ranks, self._old_ranks = rollout.newest, Ranks(), self._ranks
        old = self._placed_on([name for name in names if name in rollout.replaced], given, self._old_ranks)
        successors = [name for name in names if name not in rollout.replaced]
        if not successors:
            return _placements(given, old)
        to_come = [f"{_TO_COME}{number}" for number in range(rollout.replicas - len(successors))]
        new = self._placed_on([*successors, *to_come], given, self._ranks)
        return _placements(given, new, old)

    def _placed_on(self, names: Sequence[str], given: PlacementInput, ranks: Ranks) -> PlacedCopies:
        justified = dict(given.justified)
        wanted_copies = [
            wanted for result in given.results.values() for wanted in _wanted_versions(given, result, justified)
        ]
        ranks.follow(dict.fromkeys(names, 1.0), given.results.keys())
        room = None if given.disk_bytes is None else int(given.disk_bytes * _SHARE_OF_DISK)
        return place(wanted_copies, [Holder(name, room) for name in names], ranks)


def _wanted_versions(
    given: PlacementInput, result: CheckResult, justified: Mapping[str, int]
) -> Iterator[WantedCopies]:
    """What is served and what is to be; of the version before only what lies in the pods anyway."""
    if result.entry is not None:
        yield _wanted(given, result, result.entry, justified)
    rival = result.candidate
    if rival is not None and rival.entry is not None:
        # Nothing takes over that no pod has read.
        wanted = _wanted(given, rival, rival.entry, justified)
        yield replace(wanted, copies=max(1, wanted.copies))


def _wanted(
    given: PlacementInput, result: CheckResult, entry: CatalogEntry, justified: Mapping[str, int]
) -> WantedCopies:
    adapter, resolution = result.adapter, result.resolution
    size_bytes = resolution.size_bytes if resolution else None
    # Some pod has to look at what the operator does not see.
    is_known = resolution is not None and (resolution.facts is not None or resolution.rank is not None)
    least = 1 if adapter.spec.pin or not is_known else 0
    return WantedCopies(
        entry.key,
        size_bytes or _USUAL_BYTES,
        max(least, _copies(given, adapter), justified.get(adapter.key, 0)),
        adapter.spec.pin,
    )


def _copies(given: PlacementInput, adapter: Adapter) -> int:
    wanted = given.copies if adapter.spec.copies is None else adapter.spec.copies
    if given.prefetch is Prefetch.NONE and adapter.spec.copies is None:
        return 0
    return len(given.pods) if isinstance(wanted, str) else wanted


def _placements(given: PlacementInput, *placements: PlacedCopies) -> Placements:
    """The first placement says how many copies there are: it is the one to come."""
    held: dict[str, set[str]] = {name: set() for name, _ in given.pods}
    for placement in placements:
        for key, names in placement.pods.items():
            for name in names:
                held.get(name, set()).add(key)
    peers, in_memory, rollout = dict(given.pods), given.prefetch is Prefetch.HOST, given.rollout
    first = {name: rollout.served & keys for name, keys in held.items() if name in rollout.starting} if rollout else {}
    return Placements(
        {
            name: Assignment.of(name, peers, keys, in_memory=in_memory, first=first.get(name, ()))
            for name, keys in held.items()
        },
        placements[0].counts(),
    )


def _host(ip: str | None) -> str:
    return f"[{ip}]:{CONTROL_PORT}" if ip and ":" in ip else f"{ip}:{CONTROL_PORT}"
