"""Which pod gets a request: a pure choice."""

import hashlib
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from lorapool_api.wire.state import AnyTier, Tier
from lorapool_gateway.cluster.snapshot import RuntimePod


@dataclass(frozen=True)
class PodLoad:
    """A pod that takes requests, as far as is known.

    Attributes:
        tiers: the adapters that it can serve, and how near their weights are.
        queue: requests that wait or run in it.
        is_full: it would refuse one more.
        is_suspect: it has failed a moment ago. What fails at once has a short queue, and would draw all requests.
        is_asleep: its base has to come back to the device first.
    """

    pod: RuntimePod
    tiers: Mapping[str, AnyTier]
    queue: int
    is_full: bool
    is_suspect: bool = False
    is_asleep: bool = False


# How much waiting the way of an adapter to the device is worth, in requests of the queue. A pod that
# does not know the adapter (yet) is the last resort.
_DISTANCE: Mapping[str | None, float] = {Tier.DEVICE: 0.0, Tier.HOST: 0.25, Tier.DISK: 0.5, Tier.REMOTE: 2.0, None: 8.0}
# A tier of a newer pod: it can serve the adapter, from who knows where.
_UNKNOWN_TIER = 2.0
# A base of some gigabytes comes back to the device in about the time of a picture.
_WAKE = 1.0


def pick_pod(loads: Iterable[PodLoad], adapters: Collection[str], avoid: Collection[str] = ()) -> PodLoad | None:
    """The pod where the adapters are nearest and the queue is short, or None without pods.

    Args:
        adapters: keys of the stack.
        avoid: uids of pods that have just refused this request: only where no other is left.
    """
    return min(loads, key=lambda load: _cost(load, adapters, avoid), default=None)


def _cost(load: PodLoad, adapters: Collection[str], avoid: Collection[str]) -> tuple[bool, bool, bool, float, bytes]:
    away = max((_DISTANCE.get(load.tiers.get(key), _UNKNOWN_TIER) for key in adapters), default=0.0)
    waiting = load.queue + away + (_WAKE if load.is_asleep else 0.0)
    # A full one is never asked, so one that has refused this request, for another reason, goes before it.
    return load.is_full, load.pod.uid in avoid, load.is_suspect, waiting, _affinity(load, adapters)


def _affinity(load: PodLoad, adapters: Collection[str]) -> bytes:
    """Among equals every gateway sends the same stack to the same pod, and different stacks to different pods."""
    return hashlib.sha256("\n".join([load.pod.uid, *adapters]).encode()).digest()
