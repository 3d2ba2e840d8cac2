"""What each pod is told of a placement."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Final

from lorapool_api.kinds.pool import Prefetch
from lorapool_api.wire.fleet import Assignment
from lorapool_operator.decide.placing.placement_input import PlacementInput
from lorapool_operator.placement.place import CopyCount, PlacedCopies


@dataclass(frozen=True)
class Placements:
    """Who holds what.

    Attributes:
        assignments: by pod's key.
        copies: how many pods hold each entry of the catalog, by its key.
        pods: which they are.
    """

    assignments: Mapping[str, Assignment]
    copies: Mapping[str, CopyCount]
    pods: Mapping[str, tuple[str, ...]]


NO_PLACEMENTS: Final = Placements({}, {}, {})


def placements_of(given: PlacementInput, *placements: PlacedCopies) -> Placements:
    """The first placement says how many copies there are: it is the one to come."""
    held: dict[str, set[str]] = {name: set() for name, _ in given.pods}
    for placement in placements:
        for key, names in placement.pods.items():
            for name in names:
                held.get(name, set()).add(key)
    assignments = {name: _assignment(given, name, keys) for name, keys in held.items()}
    return Placements(assignments, placements[0].counts(), placements[0].pods)


def placed_anew(
    before: Placements, given: PlacementInput, gone: Collection[str], placement: PlacedCopies
) -> Placements:
    """What was placed before, without these entries and with those that are placed now."""
    if not gone and not placement.pods:
        return before
    copies, pods, held = dict(before.copies), dict(before.pods), dict[str, set[str]]()

    def holds(name: str) -> set[str]:
        if name not in held:
            held[name] = set(before.assignments[name].holds)
        return held[name]

    for key in gone:
        copies.pop(key, None)
        for name in pods.pop(key, ()):
            holds(name).discard(key)
    for key, names in placement.pods.items():
        pods[key] = names
        for name in names:
            holds(name).add(key)
    copies |= placement.counts()
    changed = {n: keys for n, keys in held.items() if keys != before.assignments[n].holds}
    assignments = {name: _assignment(given, name, keys) for name, keys in changed.items()}
    return Placements({**before.assignments, **assignments}, copies, pods)


def _assignment(given: PlacementInput, name: str, keys: Collection[str]) -> Assignment:
    rollout = given.rollout
    first = rollout.served.intersection(keys) if rollout is not None and name in rollout.starting else frozenset[str]()
    in_memory = given.prefetch is Prefetch.HOST
    return Assignment.of(name, dict(given.pods), keys, in_memory=in_memory, first=first)
