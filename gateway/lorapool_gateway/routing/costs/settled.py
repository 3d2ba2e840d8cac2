"""Costs of the pods of a pool, without the chance in what each of them happened to measure: pure.

What a pod has not measured itself is what the others of its pool have, key by key. The median is that of the pods that
know it: where three or more do, one that says nonsense moves it no further than to the next honest value.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from statistics import median_low
from typing import Final

from lorapool_api.wire.state import ServingCosts, Tier
from lorapool_gateway.routing.costs.load import NO_COSTS, PodLoad

# Devices of one kind measure the same within so much of the median.
_ALIKE: Final = 0.25
# What pods are told of each other: a name that one of them has made up, at no cost, would be for ever the best way in
# all of them, since none of the others ever measures it. A newer pod's own names are its own.
_SHARED: Final = frozenset({"none", "unmerged", "merged", *Tier})
# More pools than any gateway follows.
_MOST_POOLS: Final = 20_000


class SettledCosts:
    """Remembers the last answer of each pool: costs change once a picture, pods are compared at each request."""

    def __init__(self) -> None:
        self._last: dict[str, tuple[Sequence[ServingCosts], Sequence[ServingCosts]]] = {}

    def of(self, loads: Sequence[PodLoad]) -> list[PodLoad]:
        """The same pods of one pool; their costs are the median of all where they differ from it as devices of one
        kind do.

        Else no two pods would ever be equal, and what one has measured by chance would draw all requests.
        """
        if not loads:
            return []
        pool, measured = loads[0].pod.pool, [load.costs for load in loads]
        before, answer = self._last.get(pool, ((), ()))
        if len(before) != len(measured) or any(one is not other for one, other in zip(before, measured, strict=True)):
            if len(self._last) >= _MOST_POOLS:
                self._last.clear()
            answer = settled(measured)
            self._last[pool] = measured, answer
        pairs = zip(loads, answer, strict=True)
        return [load if load.costs is costs else replace(load, costs=costs) for load, costs in pairs]


def settled(measured: Sequence[ServingCosts]) -> tuple[ServingCosts, ...]:
    """The costs of each pod, in their order; what one has not measured it has from the others."""
    known = [costs for costs in measured if costs != NO_COSTS]
    if not known:
        return tuple(measured)
    usual = ServingCosts(
        step_s=_medians(costs.step_s for costs in known),
        image_s=_median(costs.image_s for costs in known),
        switch_s=_medians(costs.switch_s for costs in known),
        load_s=_medians(costs.load_s for costs in known),
        evict_s=_median(costs.evict_s for costs in known),
        wake_s=_median(costs.wake_s for costs in known),
    )
    return tuple(_near(costs, usual) for costs in measured)


def _near(own: ServingCosts, usual: ServingCosts) -> ServingCosts:
    return ServingCosts(
        step_s=_each(own.step_s, usual.step_s),
        image_s=_one(own.image_s, usual.image_s),
        switch_s=_each(own.switch_s, usual.switch_s),
        load_s=_each(own.load_s, usual.load_s),
        # What a device has room for is its own: two of one kind hold different adapters.
        evict_s=own.evict_s if own != NO_COSTS else None,
        wake_s=_one(own.wake_s, usual.wake_s),
    )


def _each(own: Mapping[str, float], usual: Mapping[str, float]) -> dict[str, float]:
    others = {name: seconds for name, seconds in usual.items() if name in own or name in _SHARED}
    return {name: seconds if (one := _one(own.get(name), seconds)) is None else one for name, seconds in others.items()}


def _one(own: float | None, usual: float | None) -> float | None:
    if own is None or usual is None:
        return usual
    return usual if abs(own - usual) <= _ALIKE * usual else own


def _medians(measured: Iterable[Mapping[str, float]]) -> dict[str, float]:
    rows = list(measured)
    names = dict.fromkeys(name for row in rows for name in row)
    return {name: median_low([row[name] for row in rows if name in row]) for name in names}


def _median(measured: Iterable[float | None]) -> float | None:
    known: Collection[float] = [seconds for seconds in measured if seconds is not None]
    return median_low(known) if known else None
