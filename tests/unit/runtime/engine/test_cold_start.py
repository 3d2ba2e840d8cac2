"""The stages of a process's start."""

from lorapool_api.wire.state import BasePhase, BaseState
from lorapool_runtime.engine.cold_start import StartTimes

WARM = BaseState(phase=BasePhase.WARM, cold_start_s=12.0, stages_s={"process": 2.0, "load": 10.0})
LOADING = BaseState(phase=BasePhase.LOADING)


class Clock:
    def __init__(self) -> None:
        self.s = 100.0

    def __call__(self) -> float:
        return self.s


def start(base: BaseState = WARM) -> tuple[StartTimes, Clock, list[str]]:
    """Of a process that started at 100 s."""
    clock, changes = Clock(), list[str]()
    return StartTimes(lambda: base, 100.0, lambda: changes.append("image"), clock), clock, changes


def test_nothing_is_said_before_the_base_is_warm() -> None:
    times, _, _ = start(LOADING)
    times.note_catalog()
    assert times.stages_s == {}


def test_a_catalog_that_was_there_before_took_no_time() -> None:
    times, clock, _ = start()
    clock.s = 103.0
    times.note_catalog()
    assert times.stages_s == {"process": 2.0, "load": 10.0, "catalog": 0.0}


def test_a_catalog_that_comes_later_is_waited_for_and_the_next_ones_count_no_more() -> None:
    times, clock, _ = start()
    for clock.s in (113.5, 200.0):
        times.note_catalog()
    assert times.stages_s["catalog"] == 1.5


def test_the_first_image_ends_the_start_whenever_it_is_asked_for() -> None:
    times, clock, changes = start()
    times.note_catalog()
    clock.s = 9000.0
    times.note_image(3.25)
    times.note_image(1.0)
    assert list(times.stages_s.items())[-1] == ("image", 3.25)
    assert changes == ["image"]
