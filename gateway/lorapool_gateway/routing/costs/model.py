"""What a request costs in a pod, in seconds until it is made there: pure.

The wait behind what the pod has to do, or the way of the adapters to the device, whichever is longer: weights are
loaded while others are made. Then the switch, what the adapters drive out for others, and the work itself, by the
cheapest way of applying them. Pods say what these take, each for itself and where it has not measured it the others of
its pool (`settled`); where none has yet, an A10G is assumed.
"""

from collections.abc import Iterable, Mapping
from typing import Final

from lorapool_api.wire.state import AnyTier, ServingCosts, Tier
from lorapool_gateway.routing.costs.load import FRESH_S, USUAL_WORK, PodLoad, Work

_BARE: Final = "none"
# 8.5 s for 25 steps at 1024 x 1024.
_STEP_S: Final = 0.33
_IMAGE_S: Final = 0.25
_SWITCH_S: Final = 0.05
# A base of some gigabytes comes back to the device in about the time of a picture.
_WAKE_S: Final = 5.0
# Of two pods where its turn is as soon, the one is better where fewer others have to wait for it.
_OTHERS: Final = 0.05
# A tier of a newer pod: it can serve the adapter, from who knows where.
_UNKNOWN_TIER_S: Final = 5.0
_LOAD_S: Final[Mapping[str, float]] = {Tier.HOST: 0.05, Tier.DISK: 0.15, Tier.REMOTE: 5.0}


def expected_wait_s(load: PodLoad, caller: str = "") -> float:
    """Seconds until one more request of the caller would begin in the pod, as far as is known.

    A request for the active stack may begin before others that wait; what it gains they lose, so it counts the same. A
    caller whose turn comes before those of others, since they have had more, does not wait for them.
    """
    if load.wait_s is None:
        return load.queue * work_s(USUAL_WORK, load.costs)
    return load.wait_s if load.turns is None else min(load.wait_s, load.turns.wait_s(caller))


def shortest_wait_s(loads: Iterable[PodLoad], caller: str = "") -> float | None:
    """Seconds until the first of these pods would begin one more request of the caller; None without pods."""
    return min((expected_wait_s(load, caller) for load in loads), default=None)


def work_s(work: Work, costs: ServingCosts) -> float:
    """Seconds of the work itself, by the cheapest way of applying its adapters."""
    step_s = min((_ways(costs.step_s, work) or costs.step_s).values(), default=_STEP_S)
    return work.steps * step_s + work.images * (_IMAGE_S if costs.image_s is None else costs.image_s)


def total_s(load: PodLoad, work: Work) -> float:
    """Seconds from now until the pod would have made it, and what that costs others."""
    costs = load.costs
    own_s = expected_wait_s(load, work.caller)
    ahead_s = max(own_s, sum(_load_s(load, key) for key in work.adapters))
    is_resident = all(load.tiers.get(key) == Tier.DEVICE for key in work.adapters)
    evict_s = 0.0 if is_resident else costs.evict_s or 0.0
    wake_s = (_WAKE_S if costs.wake_s is None else costs.wake_s) if load.is_asleep else 0.0
    # As much work as there was time for may have come since.
    unseen_s = load.age_s - FRESH_S if load.is_stale else 0.0
    others_s = 0.0 if load.wait_s is None else _OTHERS * (load.wait_s - own_s)
    return ahead_s + _applied_s(load, work) + evict_s + wake_s + unseen_s + others_s


def _applied_s(load: PodLoad, work: Work) -> float:
    """The switch and the work, by the way of applying the stack that costs least together: merged or not."""
    costs = load.costs
    whole_s = work_s(work, costs)
    if work.adapters == load.active:
        return whole_s
    ways = _ways(costs.switch_s, work)
    if not ways:
        return whole_s + min(costs.switch_s.values(), default=_SWITCH_S)
    rest_s = whole_s - work.steps * min((_ways(costs.step_s, work) or costs.step_s).values(), default=_STEP_S)
    known = ((switch_s, costs.step_s.get(name)) for name, switch_s in ways.items())
    return min(switch_s + (whole_s if step_s is None else rest_s + work.steps * step_s) for switch_s, step_s in known)


def _ways(measured: Mapping[str, float], work: Work) -> Mapping[str, float]:
    """Of what was measured by how adapters are applied: what a stack like this can have."""
    return {name: seconds for name, seconds in measured.items() if (name == _BARE) != bool(work.adapters)}


def _load_s(load: PodLoad, key: str) -> float:
    """From the adapter's tier to the device. Of an adapter that it has no file of a pod says nothing."""
    tier: AnyTier = load.tiers.get(key, Tier.REMOTE)
    if tier == Tier.DEVICE:
        return 0.0
    # A pod tells of the fetch alone: what was fetched is on its disk then.
    read_s = _of_tier(load, Tier.DISK) if tier == Tier.REMOTE else 0.0
    return _of_tier(load, tier) + read_s


def _of_tier(load: PodLoad, tier: AnyTier) -> float:
    return load.costs.load_s.get(tier, _LOAD_S.get(tier, _UNKNOWN_TIER_S))
