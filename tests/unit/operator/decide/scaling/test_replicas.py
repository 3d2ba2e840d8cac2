"""From requests to replicas, one decision after the other."""

from tests.unit.operator.decide.scaling.traces import scaling

from lorapool_api.kinds.pods.scaling import Scaling
from lorapool_operator.decide.scaling.replicas import ReplicaState, begun, decided
from lorapool_operator.decide.scaling.requests import UNKNOWN, PoolRequests


def after(state: ReplicaState, spec: Scaling, requests: PoolRequests, *, seconds: int, at_s: float) -> ReplicaState:
    """The state when that was so for so long, from then on."""
    for second in range(seconds):
        state = decided(state, spec, requests, at_s + second)
    return state


def some(count: int) -> PoolRequests:
    return PoolRequests(count, is_complete=True)


NONE = some(0)


def test_each_pod_has_as_many_requests_as_it_shall_have() -> None:
    spec = scaling(max_replicas=10, target_pending=3)
    state = begun(spec, 1, 0.0)
    assert [decided(state, spec, some(n), 1.0).replicas for n in (0, 1, 3, 4, 6, 7, 100)] == [1, 1, 1, 2, 2, 3, 10]


def test_a_pod_goes_when_it_was_not_needed_for_the_delay() -> None:
    spec = scaling(scale_down_delay_seconds=120)
    busy = decided(begun(spec, 1, 0.0), spec, some(7), 10.0)
    assert busy.replicas == 4
    calm = after(busy, spec, some(3), seconds=119, at_s=11.0)
    assert calm.replicas == 4
    assert after(calm, spec, some(3), seconds=2, at_s=130.0).replicas == 2


def test_the_last_pod_goes_only_when_it_may_and_nobody_has_come_for_long() -> None:
    spec = scaling(min_replicas=0, idle_seconds=600, scale_down_delay_seconds=60)
    state = decided(begun(spec, 1, 0.0), spec, some(1), 100.0)
    assert after(state, spec, NONE, seconds=599, at_s=101.0).replicas == 1
    idle = after(state, spec, NONE, seconds=601, at_s=101.0)
    assert idle.replicas == 0
    assert decided(idle, spec, some(1), 5000.0).replicas == 1
    stays = scaling(min_replicas=1, idle_seconds=600)
    assert after(begun(stays, 1, 0.0), stays, NONE, seconds=2000, at_s=1.0).replicas == 1


def test_where_pods_sleep_one_stays_for_ever_and_one_is_started_where_none_is() -> None:
    spec = scaling(min_replicas=0, idle_seconds=60, scale_down_delay_seconds=60, sleep=True)
    state = decided(begun(spec, 1, 0.0), spec, some(7), 1.0)
    assert state.replicas == 4
    assert after(state, spec, NONE, seconds=5000, at_s=2.0).replicas == 1
    assert begun(spec, 0, 0.0).replicas == 1
    assert (spec.sleep_after_s, scaling(idle_seconds=60).sleep_after_s) == (60.0, None)


def test_a_pod_that_still_loads_is_not_idle() -> None:
    spec = scaling(min_replicas=0, idle_seconds=60, scale_down_delay_seconds=0)
    state = decided(begun(spec, 0, 0.0), spec, some(1), 1.0)
    for second in range(2, 1200):
        state = decided(state, spec, NONE, float(second), is_ready=False)
    assert state.replicas == 1
    assert after(state, spec, NONE, seconds=59, at_s=1200.0).replicas == 1
    assert after(state, spec, NONE, seconds=61, at_s=1200.0).replicas == 0


def test_a_short_idle_time_does_not_undercut_the_delay() -> None:
    spec = scaling(min_replicas=0, idle_seconds=1, scale_down_delay_seconds=120)
    state = decided(begun(spec, 1, 0.0), spec, some(1), 10.0)
    assert after(state, spec, NONE, seconds=110, at_s=11.0).replicas == 1
    assert after(state, spec, NONE, seconds=130, at_s=11.0).replicas == 0


def test_what_nobody_knows_takes_no_pod_away_however_long_it_lasts() -> None:
    spec = scaling(min_replicas=0, idle_seconds=60, scale_down_delay_seconds=60)
    state = decided(begun(spec, 1, 0.0), spec, some(5), 1.0)
    silent = after(state, spec, UNKNOWN, seconds=3600, at_s=2.0)
    assert silent.replicas == 3
    # They are needed no longer than any others once somebody tells.
    assert after(silent, spec, some(1), seconds=62, at_s=3602.0).replicas == 1


def test_what_one_gateway_tells_adds_pods_although_another_is_silent() -> None:
    spec = scaling()
    assert decided(begun(spec, 1, 0.0), spec, PoolRequests(6, is_complete=False), 1.0).replicas == 3


def test_the_idle_time_begins_anew_after_a_silence() -> None:
    spec = scaling(min_replicas=0, idle_seconds=600, scale_down_delay_seconds=0)
    silent = after(begun(spec, 1, 0.0), spec, UNKNOWN, seconds=590, at_s=1.0)
    assert after(silent, spec, NONE, seconds=590, at_s=591.0).replicas == 1


def test_silence_starts_no_pod() -> None:
    spec = scaling(min_replicas=0)
    assert after(begun(spec, 0, 0.0), spec, UNKNOWN, seconds=3600, at_s=1.0).replicas == 0


def test_a_restart_of_the_operator_takes_no_pod_away_at_once_and_starts_none() -> None:
    spec = scaling(min_replicas=0, scale_down_delay_seconds=120)
    assert decided(begun(spec, 3, 1000.0), spec, NONE, 1001.0).replicas == 3
    assert after(begun(spec, 0, 1000.0), spec, NONE, seconds=300, at_s=1001.0).replicas == 0


def test_a_new_pool_begins_with_a_pod_even_if_it_may_have_none() -> None:
    assert begun(scaling(min_replicas=0), None, 0.0).replicas == 1
    assert begun(scaling(min_replicas=2), None, 0.0).replicas == 2


def test_new_bounds_count_at_once() -> None:
    state = after(begun(scaling(), 4, 0.0), scaling(), some(8), seconds=5, at_s=1.0)
    assert decided(state, scaling(max_replicas=2), some(8), 10.0).replicas == 2
    assert decided(state, scaling(min_replicas=4, max_replicas=8), NONE, 10.0).replicas == 4


def test_what_is_remembered_does_not_grow_with_time() -> None:
    spec = scaling(max_replicas=1000, scale_down_delay_seconds=86_400, target_pending=1)
    state = begun(spec, 1, 0.0)
    for second in range(5000):
        state = decided(state, spec, some(second % 50), float(second))
    assert len(state.peaks) <= 51
