"""Whole days of requests: how many pods there are, how long requests wait, what it costs."""

from random import Random

from tests.unit.operator.decide.scaling.traces import run, scaling, six_hours


def test_a_burst_gets_all_pods_within_a_second_and_they_stay_for_the_delay() -> None:
    burst = [60.0] * 24
    trace = run(scaling(scale_down_delay_seconds=120), burst, 600)
    assert set(trace.replicas[:60]) == {1}
    assert trace.replicas[60] == 4
    needed_until = max(second for second, replicas in enumerate(trace.replicas) if replicas == 4)
    # 24 images of 10 s: one pod for the 25 s that the others need to start, then four.
    assert 60 + 120 <= needed_until <= 60 + 70 + 120
    assert trace.replicas[-1] == 1
    assert trace.wait_s(1.0) <= 80


def test_pods_go_one_after_the_other_as_a_queue_gets_shorter() -> None:
    trace = run(scaling(scale_down_delay_seconds=0), [0.0] * 16, 200)
    assert trace.replicas[0] == 4
    falling = trace.replicas[trace.replicas.index(4) :]
    assert falling == sorted(falling, reverse=True)
    assert trace.replicas[-1] == 1


def test_on_a_slow_day_there_is_a_pod_only_around_each_request() -> None:
    each_half_hour = [600.0 + 1800.0 * number for number in range(47)]
    trace = run(scaling(min_replicas=0, idle_seconds=300), each_half_hour, 24 * 3600, pods=0)
    assert max(trace.replicas) == 1
    assert trace.cold_starts == 47
    assert trace.wait_s(1.0) <= 27
    # 25 s until it is warm, 10 s of work, 5 minutes until nobody comes.
    assert trace.pod_s <= 47 * (25 + 10 + 300 + 3)


def test_a_slow_day_with_a_pod_that_stays_makes_nobody_wait() -> None:
    each_half_hour = [600.0 + 1800.0 * number for number in range(47)]
    trace = run(scaling(min_replicas=1), each_half_hour, 24 * 3600)
    assert (set(trace.replicas), trace.cold_starts, trace.wait_s(1.0)) == ({1}, 0, 0.0)


def test_130_adapters_in_six_hours_take_one_to_three_pods_and_a_burst_a_fourth() -> None:
    asked = six_hours(Random(6))  # noqa: S311 -- a trace
    assert len({adapter for _, adapter in asked}) >= 125
    windows = [len({a for at_s, a in asked if start <= at_s < start + 120}) for start in range(0, 6 * 3600, 120)]
    assert 8 <= sum(windows) / len(windows) <= 12

    # An A10G of the article: 8.5 s for an image, 3 s for a switch, 25 s for a cold start.
    trace = run(scaling(max_replicas=4), [at_s for at_s, _ in asked], 6 * 3600 + 600, image_s=11.5)

    hours = trace.pod_s / 3600
    assert hours <= 6 * 3, "no more than three pods on average"
    assert hours <= 130 * 6 / 40, "a fortieth of what a deployment for each adapter takes"
    assert max(trace.replicas) == 4
    assert sum(replicas == 4 for replicas in trace.replicas) < 0.1 * len(trace.replicas)
    assert trace.wait_s(0.5) <= 2
    assert trace.wait_s(0.95) <= 30
    assert trace.cold_starts < 120, "one in three minutes; a longer delay makes fewer, and takes more hours"
    patient = run(
        scaling(max_replicas=4, scale_down_delay_seconds=600), [at_s for at_s, _ in asked], 6 * 3600 + 600, image_s=11.5
    )
    assert patient.cold_starts < trace.cold_starts / 3
    assert trace.pod_s < patient.pod_s < 4 * 6.2 * 3600


def test_demand_that_flaps_faster_than_the_delay_moves_no_pod() -> None:
    flapping = [30.0 * number + offset for number in range(40) for offset in (0.0,) * (8 if number % 2 else 1)]
    trace = run(scaling(scale_down_delay_seconds=120), flapping, 30 * 40 + 300)
    assert set(trace.replicas[30:1200]) == {4}
