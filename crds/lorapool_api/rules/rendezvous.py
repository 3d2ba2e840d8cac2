"""Weighted rendezvous hashing: which nodes an item belongs to, while nodes come and go.

Whoever asks for the same item and the same nodes gets the same order, without talking to anybody. When a node goes,
only the items that it had move; when one comes, it takes its share from all others. (Thaler and Ravishankar 1998; with
weights, Schindelhauer and Schomaker 2005: the score of a node is -weight / ln(u), u uniform in (0, 1).)
"""

import heapq
import math
from collections.abc import Mapping
from hashlib import blake2b
from typing import Final

# u = ((a * item + b) mod P) / P with a and b of the node: pairwise independent (Carter and Wegman 1979), and five times
# as fast as a digest of each pair. An operator ranks 200 pods for each of 100,000 adapters.
_PRIME: Final = (1 << 61) - 1

Scored = tuple[float, str]


class Nodes:
    """Nodes by name, each with its weight.

    One of twice the weight is the first choice of twice as many items. One without a positive weight is nobody's.
    """

    def __init__(self, weights: Mapping[str, float]) -> None:
        self._of = [(*_numbers(name), weight, name) for name, weight in weights.items() if weight > 0]

    def __len__(self) -> int:
        return len(self._of)

    def ranked(self, item: str, most: int | None = None) -> list[str]:
        """The names of the nodes for this item, the first choice first; so many of them, if that is said."""
        return [name for _, name in self.scored(item, most)]

    def scored(self, item: str, most: int | None = None) -> list[Scored]:
        """(score, name), the highest score first. A score depends on the item, the node and its weight alone."""
        number, log = _number(item.encode()), math.log
        pairs = [(-w / log(((a * number + b) % _PRIME + 1) / (_PRIME + 1)), name) for a, b, w, name in self._of]
        return heapq.nlargest(len(pairs) if most is None else most, pairs)


def _number(text: bytes) -> int:
    return int.from_bytes(blake2b(text, digest_size=8).digest()) % _PRIME


def _numbers(name: str) -> tuple[int, int]:
    digest = blake2b(name.encode(), digest_size=16).digest()
    return int.from_bytes(digest[:8]) % (_PRIME - 1) + 1, int.from_bytes(digest[8:]) % _PRIME
