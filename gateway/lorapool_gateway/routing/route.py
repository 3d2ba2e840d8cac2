"""Which pod gets a request: a pure choice."""

from collections.abc import Callable, Collection, Sequence
from hashlib import sha256
from typing import Final

from lorapool_gateway.routing.costs.load import PodLoad, Stack, Work
from lorapool_gateway.routing.costs.model import total_s

# Of pods, for a request; not those with these uids where another is left.
ChoosePod = Callable[[Sequence[PodLoad], Work, Collection[str]], PodLoad | None]
# Pods whose costs differ by less are equal: no picture is sooner there.
_TIE_S: Final = 0.01


def pick_pod(loads: Sequence[PodLoad], work: Work, avoid: Collection[str] = ()) -> PodLoad | None:
    """The pod where the request costs least, or None without pods.

    A pod whose own queue for an adapter costs more than one more load of it elsewhere loses the request to that pod:
    so an adapter that many want spreads.

    Args:
        avoid: uids of pods that have just refused this request: only where no other is left.
    """
    if len(loads) < 2:
        return loads[0] if loads else None
    # A full one is never asked, so one that has refused this request, for another reason, goes before it.
    ranks = [(load.is_full, load.pod.uid in avoid, load.is_suspect) for load in loads]
    best = min(ranks)
    costs = [(total_s(load, work), load) for load, rank in zip(loads, ranks, strict=True) if rank == best]
    least_s = min(cost_s for cost_s, _ in costs)
    equal = [load for cost_s, load in costs if cost_s <= least_s + _TIE_S]
    return equal[0] if len(equal) == 1 else min(equal, key=lambda load: _affinity(load, work.adapters))


def _affinity(load: PodLoad, adapters: Stack) -> bytes:
    """Among equals every gateway sends the same stack to the same pod, and different stacks to different pods."""
    return sha256("\n".join([load.pod.uid, *adapters]).encode()).digest()
