"""From requests to replicas: up at once, down when fewer were enough for a while, to zero when nobody asks."""

from dataclasses import dataclass

from lorapool_api.kinds.pods.scaling import Scaling
from lorapool_operator.decide.scaling.requests import PoolRequests


@dataclass(frozen=True)
class ReplicaState:
    """What is remembered of a pool from decision to decision. Times are on a clock that never goes back.

    Attributes:
        replicas: the decision.
        peaks: when how many pods were needed, of the last `scaleDownDelaySeconds`: none that a later one reaches.
        wanted_s: when somebody wanted a pod last, or nobody could tell, or none was ready yet.
    """

    replicas: int
    peaks: tuple[tuple[float, int], ...]
    wanted_s: float


def begun(scaling: Scaling, deployed: int | None, now_s: float) -> ReplicaState:
    """The beginning, as if what is there had been needed until now: a restart of the operator takes no pod away.

    Args:
        deployed: replicas that the Deployment has; None: there is none yet.
    """
    before = max(1, scaling.fewest) if deployed is None else deployed
    replicas = _within(scaling, before)
    return ReplicaState(replicas, ((now_s, replicas),), now_s)


def decided(
    state: ReplicaState, scaling: Scaling, requests: PoolRequests, now_s: float, *, is_ready: bool = True
) -> ReplicaState:
    """The next decision.

    Args:
        is_ready: whether a pod of the pool takes requests. One that still loads is not idle: who asked for it may come
            back, and a base that takes longer than `idleSeconds` would never be loaded.
    """
    needed = -(-requests.count // scaling.target_pending)
    if not requests.is_complete:
        needed = max(needed, state.replicas)
    is_wanted = requests.count > 0 or not requests.is_complete or not is_ready
    wanted_s = now_s if is_wanted else state.wanted_s
    since_s = now_s - scaling.scale_down_delay_seconds
    peaks = (*(peak for peak in state.peaks if peak[0] > since_s and peak[1] > needed), (now_s, needed))
    is_idle = state.replicas == 0 or now_s - wanted_s >= scaling.idle_seconds
    least = 0 if is_idle else 1
    return ReplicaState(_within(scaling, max(peaks[0][1], least)), peaks, wanted_s)


def _within(scaling: Scaling, replicas: int) -> int:
    return min(max(replicas, scaling.fewest), scaling.max_replicas)
