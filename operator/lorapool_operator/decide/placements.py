"""Which pods of a pool hold which adapters, and what each of them is told of the others."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Final, Self

from lorapool_api.kinds.adapter import Adapter
from lorapool_api.kinds.pool import Pool, Prefetch
from lorapool_api.kinds.quantities import quantity_bytes
from lorapool_api.names import CONTROL_PORT
from lorapool_api.wire.catalog import CatalogEntry
from lorapool_api.wire.fleet import Assignment
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


@dataclass(frozen=True)
class PlacementInput:
    """What the assignments depend on.

    Attributes:
        pods: `host:port` of the control ports of the pods that run, by the pods' keys.
        justified: copies that the requests for an adapter justify, with its key.
        disk_bytes: of each pod, for adapters; None: no bound.
    """

    results: CheckResults
    copies: int | str
    prefetch: Prefetch
    pods: tuple[tuple[str, str], ...]
    justified: tuple[tuple[str, int], ...]
    disk_bytes: int | None

    @classmethod
    def of(cls, seen: Observed, pool: Pool, results: CheckResults, demands: AdapterDemands = NO_DEMANDS) -> Self:
        spec = pool.spec.adapters
        pods = tuple(sorted((p.key, _host(p.ip)) for p, _ in seen.running_pods if p.ip))
        disk = None if spec.disk_budget is None else quantity_bytes(spec.disk_budget)
        return cls(results, spec.copies, spec.prefetch, pods, demands.copies, disk)


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
        self._ranks = Ranks()
        self.placed = Memo(self._place)

    def _place(self, given: PlacementInput) -> Placements:
        names = [name for name, _ in given.pods]
        justified = dict(given.justified)
        wanted_copies = [
            wanted for result in given.results.values() for wanted in _wanted_versions(given, result, justified)
        ]
        self._ranks.follow(dict.fromkeys(names, 1.0), given.results.keys())
        room = None if given.disk_bytes is None else int(given.disk_bytes * _SHARE_OF_DISK)
        placement = place(wanted_copies, [Holder(name, room) for name in names], self._ranks)
        return _placements(given, placement)


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


def _placements(given: PlacementInput, placement: PlacedCopies) -> Placements:
    held: dict[str, list[str]] = {name: [] for name, _ in given.pods}
    for key, names in placement.pods.items():
        for name in names:
            held[name].append(key)
    peers, in_memory = dict(given.pods), given.prefetch is Prefetch.HOST
    return Placements(
        {name: Assignment.of(name, peers, keys, in_memory=in_memory) for name, keys in held.items()},
        placement.counts(),
    )


def _host(ip: str | None) -> str:
    return f"[{ip}]:{CONTROL_PORT}" if ip and ":" in ip else f"{ip}:{CONTROL_PORT}"
