"""The order of the queue, on a simulated clock."""

from lorapool_runtime.queue.choice import Stack, Waiting, choose

BASE: Stack = ()
PIXEL: Stack = (("pixel", 1.0),)
TOY: Stack = (("toy", 1.0),)


def order(arrivals: list[tuple[float, Stack]], patience_s: float, service_s: float = 1.0) -> list[int]:
    """The indices of the arrivals in the order in which one engine serves them."""
    now, active, served = 0.0, BASE, []
    left = list(range(len(arrivals)))
    while left:
        here = [i for i in left if arrivals[i][0] <= now]
        if not here:
            now = arrivals[left[0]][0]
            continue
        chosen = here[choose([Waiting(arrivals[i][1], arrivals[i][0]) for i in here], active, now, patience_s)]
        left.remove(chosen)
        served.append(chosen)
        active = arrivals[chosen][1]
        now += service_s
    return served


def test_requests_for_what_is_in_force_come_first() -> None:
    assert order([(0, PIXEL), (0, TOY), (0, PIXEL), (0, TOY)], patience_s=100) == [0, 2, 1, 3]


def test_the_oldest_comes_when_nobody_wants_what_is_in_force() -> None:
    assert order([(0, TOY), (0, PIXEL)], patience_s=100) == [0, 1]


def test_another_strength_is_another_stack() -> None:
    assert order([(0, PIXEL), (0, (("pixel", 0.5),)), (0, PIXEL)], patience_s=100) == [0, 2, 1]


def test_nobody_is_overtaken_for_longer_than_the_bound() -> None:
    # One request for another adapter in an endless stream for the one that is in force.
    arrivals = [(0.0, PIXEL), (0.1, TOY), *((0.2 + i, PIXEL) for i in range(30))]
    served = order(arrivals, patience_s=5)
    assert served.index(1) <= 7


def test_the_bare_base_is_a_stack_like_any_other() -> None:
    assert order([(0, BASE), (0, PIXEL), (0, BASE)], patience_s=100) == [0, 2, 1]
