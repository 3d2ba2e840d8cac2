"""Which pods of a pool hold which adapters, and what each of them is told of the others."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Final

from lorapool_api.kinds.adapter import Adapter
from lorapool_api.kinds.pool import Prefetch
from lorapool_api.wire.catalog import CatalogEntry
from lorapool_operator.decide.adapters.checker import CheckResult
from lorapool_operator.decide.placing.assigned import NO_PLACEMENTS, Placements, placed_anew, placements_of
from lorapool_operator.decide.placing.placement_input import PlacementInput
from lorapool_operator.placement.place import Holder, PlacedCopies, WantedCopies, place
from lorapool_operator.placement.ranks import Ranks

# What is held ahead leaves room for what requests bring.
_SHARE_OF_DISK: Final = 0.8
# Of a file whose size nobody knows yet.
_USUAL_BYTES: Final = 100 << 20
# Of pods that a rollout has yet to make; no key of a pod begins so.
_TO_COME: Final = "~"


class PlacementDecisions:
    """The placements of one pool, from what is remembered of the order of the pods.

    Where no disk is bounded the pods of an adapter depend on no other adapter: only what changed is placed anew.
    """

    def __init__(self) -> None:
        self._ranks, self._old_ranks = Ranks(), Ranks()
        self._newest: str | None = None
        self._before: PlacementInput | None = None
        self._wanted: dict[str, tuple[WantedCopies, ...]] = {}
        self._made = NO_PLACEMENTS

    def placed(self, given: PlacementInput) -> Placements:
        """Who holds what; the same object as long as that does not change."""
        before = self._before
        keys = None if before is None or not given.is_like(before) else given.changed_since(before)
        if keys is None or (keys and not given.is_independent):
            self._made = self._all(given)
        elif keys:
            self._made = self._some(given, keys)
        self._before = given
        return self._made

    def _all(self, given: PlacementInput) -> Placements:
        """In a rollout the pods that are replaced hold what they held. Their successors share what will be due to them
        when all are there, so that each brings its part and nobody all of it."""
        justified = dict(given.justified)
        self._wanted = {key: tuple(_wanted_versions(given, r, justified)) for key, r in given.results.items()}
        names, rollout = [name for name, _ in given.pods], given.rollout
        if rollout is None:
            return placements_of(given, self._placed_on(names, given, self._ranks))
        if rollout.newest != self._newest:
            self._newest, self._ranks, self._old_ranks = rollout.newest, Ranks(), self._ranks
        old = self._placed_on([name for name in names if name in rollout.replaced], given, self._old_ranks)
        successors = [name for name in names if name not in rollout.replaced]
        if not successors:
            return placements_of(given, old)
        to_come = [f"{_TO_COME}{number}" for number in range(rollout.replicas - len(successors))]
        new = self._placed_on([*successors, *to_come], given, self._ranks)
        return placements_of(given, new, old)

    def _placed_on(self, names: Sequence[str], given: PlacementInput, ranks: Ranks) -> PlacedCopies:
        wanted_copies = [wanted for versions in self._wanted.values() for wanted in versions]
        ranks.follow(dict.fromkeys(names, 1.0), given.results.keys())
        room = None if given.disk_bytes is None else int(given.disk_bytes * _SHARE_OF_DISK)
        return place(wanted_copies, [Holder(name, room) for name in names], ranks)

    def _some(self, given: PlacementInput, keys: Iterable[str]) -> Placements:
        """As before, but for these adapters. Only the pods that hold other ones have another assignment."""
        justified, holders = dict(given.justified), [Holder(name) for name, _ in given.pods]
        gone: dict[str, WantedCopies] = {}
        new: list[WantedCopies] = []
        for key in keys:
            old, result = self._wanted.pop(key, ()), given.results.get(key)
            versions = () if result is None else tuple(_wanted_versions(given, result, justified))
            if versions:
                self._wanted[key] = versions
            if versions != old:
                gone |= {wanted.key: wanted for wanted in old}
                new += versions
        self._ranks.follow(dict.fromkeys((name for name, _ in given.pods), 1.0), given.results.keys())
        placement = place(new, holders, self._ranks)
        return placed_anew(self._made, given, gone.keys(), placement)


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
