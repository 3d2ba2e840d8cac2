"""Adapters onto pods: as many copies as wanted, on the pods that come first for each, within every pod's disk."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from lorapool_api.names import adapter_of
from lorapool_operator.placement.ranks import Ranks


@dataclass(frozen=True)
class WantedCopies:
    """A version of an adapter that pods are to hold.

    Attributes:
        key: of its entry in the catalog.
        size_bytes: of its file.
        copies: pods that shall hold it; more than there are means all.
        pin: it is placed before those that are not pinned.
    """

    key: str
    size_bytes: int
    copies: int
    pin: bool = False


@dataclass(frozen=True)
class Holder:
    """A pod that can hold adapters.

    Attributes:
        name: the pod's key.
        room_bytes: for files that are held ahead; None: no bound.
    """

    name: str
    room_bytes: int | None = None


class CopyCount(NamedTuple):
    """How many pods hold an adapter ahead of requests.

    Attributes:
        unplaced: further copies that it should have, and no pod has room for.
    """

    placed: int
    unplaced: int


NO_COPIES: Final = CopyCount(0, 0)


@dataclass(frozen=True)
class PlacedCopies:
    """Who holds what.

    Attributes:
        pods: adapter's key -> the pods that hold it, the one that asks its source first. An adapter that nobody has
            room for is missing: each pod brings it when a request asks for it.
        missing: adapter's key -> copies that found no room.
    """

    pods: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    missing: Mapping[str, int] = field(default_factory=dict)

    def counts(self) -> dict[str, CopyCount]:
        """By adapter's key, of those that have or should have a copy."""
        keys = self.pods.keys() | self.missing.keys()
        return {key: CopyCount(len(self.pods.get(key, ())), self.missing.get(key, 0)) for key in keys}


def place(wanted_copies: Iterable[WantedCopies], holders: Sequence[Holder], ranks: Ranks) -> PlacedCopies:
    """Every adapter's first copy before anybody's second: a full disk costs copies, not adapters.

    The pods of an adapter depend on nothing but its key and the pods, until a disk is full: then it goes to the next
    pod of its order that has room. All of its versions lie in the same pods. `ranks` must follow the holders.
    """
    room = {h.name: h.room_bytes for h in holders}
    ordered = sorted(wanted_copies, key=lambda wanted: (not wanted.pin, wanted.key))
    pods: dict[str, list[str]] = {}
    missing: dict[str, int] = {}
    for round_ in range(max((min(w.copies, len(holders)) for w in ordered), default=0)):
        for wanted in ordered:
            if round_ >= min(wanted.copies, len(holders)) or wanted.key in missing:
                continue
            held = pods.get(wanted.key, [])
            pod = _first_with_room(wanted, held, room, ranks)
            if pod is None:
                missing[wanted.key] = min(wanted.copies, len(holders)) - len(held)
                continue
            pods.setdefault(wanted.key, held).append(pod)
            if (left := room[pod]) is not None:
                room[pod] = left - wanted.size_bytes
    return PlacedCopies({key: tuple(names) for key, names in pods.items()}, missing)


def _first_with_room(
    wanted: WantedCopies, held: Sequence[str], room: Mapping[str, int | None], ranks: Ranks
) -> str | None:
    """The first pod of the adapter's order that does not hold it and has room; looks further only where it must."""
    seen, depth = 0, len(held) + 1
    while seen < depth <= len(room):
        names = ranks.of(adapter_of(wanted.key), depth)
        for name in names[seen:]:
            left = room[name]
            if name not in held and (left is None or left >= wanted.size_bytes):
                return name
        seen, depth = depth, min(2 * depth, len(room))
    return None
