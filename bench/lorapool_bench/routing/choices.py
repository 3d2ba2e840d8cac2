"""Ways to choose a pod: the gateway's own, and those that it is compared with."""

import random
from collections.abc import Callable, Sequence
from typing import Final

from lorapool_api.rules.rendezvous import Nodes
from lorapool_gateway.routing.costs.load import PodLoad, Work
from lorapool_gateway.routing.route import pick_pod

Choose = Callable[[Sequence[PodLoad], Work], PodLoad | None]
LORAPOOL: Final = "lorapool's costs"
RANDOM: Final = "random"
LEAST: Final = "least load"
STICKY: Final = "sticky hashing"
ARTICLE: Final = "the article's"


def by_cost(loads: Sequence[PodLoad], work: Work) -> PodLoad | None:
    return pick_pod(loads, work)


def at_random(seed: int) -> Choose:
    """Any pod with room."""
    rng = random.Random(seed)  # noqa: S311 -- a choice among pods, not a secret
    return lambda loads, work: rng.choice([load for load in loads if not load.is_full] or list(loads))


def by_load(loads: Sequence[PodLoad], work: Work) -> PodLoad | None:
    """The shortest queue."""
    return min(loads, key=lambda load: (load.is_full, load.queue), default=None)


def by_hash(loads: Sequence[PodLoad], work: Work) -> PodLoad | None:
    """Always the same pod for an adapter, another only where that one is full."""
    by_name = {load.pod.name: load for load in loads}
    ranked = Nodes(dict.fromkeys(by_name, 1.0)).ranked("\n".join(work.adapters))
    return next((by_name[name] for name in ranked if not by_name[name].is_full), by_name[ranked[0]])
