"""The order of the pods for each adapter, kept from pass to pass: only what a pod that came or went changes is new."""

import bisect
from collections.abc import Collection, Mapping
from typing import Final

from lorapool_api.rules.rendezvous import Nodes, Scored

# More than anybody asks for at once; a pod that goes takes one away without a new ranking.
_DEPTH: Final = 8


class Ranks:
    """Remembers the first pods of each adapter. Its answers are those of `Nodes.ranked`, whatever it remembers."""

    def __init__(self) -> None:
        self._weights: dict[str, float] = {}
        self._nodes = Nodes({})
        self._first: dict[str, list[Scored]] = {}

    def follow(self, weights: Mapping[str, float], items: Collection[str]) -> None:
        """From now on these are the pods, each with its weight, and these the adapters that anybody asks for."""
        went = {name for name, weight in self._weights.items() if weights.get(name) != weight}
        came = {name: weight for name, weight in weights.items() if self._weights.get(name) != weight}
        if went or came:
            self._weights, self._nodes = dict(weights), Nodes(weights)
            self._move(went, Nodes(came))
        if len(self._first) > len(items):
            self._first = {item: first for item, first in self._first.items() if item in items}

    def of(self, item: str, most: int) -> list[str]:
        """The first pods of the adapter; all there are, if that is fewer."""
        first = self._first.get(item)
        if first is None or len(first) < min(most, len(self._nodes)):
            first = self._first[item] = self._nodes.scored(item, max(most, _DEPTH))
        return [name for _, name in first[:most]]

    def _move(self, went: Collection[str], came: Nodes) -> None:
        """What stays of a list is still the beginning of the order, as far as it goes: so it is kept that far."""
        for item, first in self._first.items():
            stayed = [scored for scored in first if scored[1] not in went]
            known = len(stayed)
            for scored in came.scored(item):
                bisect.insort(stayed, scored, key=lambda pair: (-pair[0], pair[1]))
            # Beyond the last one that stayed, pods may come between that this list does not know.
            end = next((i for i in reversed(range(len(stayed))) if stayed[i] in first), -1) + 1 if known else 0
            self._first[item] = stayed[: min(end, _DEPTH)]
