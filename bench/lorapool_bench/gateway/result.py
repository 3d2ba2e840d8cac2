"""What the bench of the gateway found."""

from typing import Final

from lorapool_bench.measure.result import Frozen, Goal, Result

GATEWAY: Final = "the gateway"
# Asked of the gateway with a hundred requests in flight: what it adds to the median and to the slowest hundredth; and
# how long a refusal may take.
ADDED_S: Final = 0.001
ADDED_P99_S: Final = 0.005
REFUSAL_S: Final = 0.5
# What a request may cost with many in flight, beside what it costs with one: room for noise, none for growth.
GROWTH: Final = 1.2
# By how much it may grow for large bodies: no more than a tenth of what they have.
HELD_SHARE: Final = 0.1


class Latency(Frozen):
    """Of requests from the first byte sent to the last byte read, in seconds."""

    p50_s: float
    p99_s: float
    requests: int


class Level(Frozen):
    """One load, straight at the pods and through what stands before them.

    Attributes:
        way: what that is.
        takes_s: that the pods take for an image, whatever else they do.
        cpu_s: of what stands before them, for each request.
    """

    pods: str
    way: str
    in_flight: int
    takes_s: float
    straight: Latency
    through: Latency
    cpu_s: float

    @property
    def added_s(self) -> float:
        """To the median."""
        return self.through.p50_s - self.straight.p50_s

    @property
    def added_p99_s(self) -> float:
        """To the slowest hundredth."""
        return self.through.p99_s - self.straight.p99_s


class HeldBodies(Frozen):
    """Requests with large bodies that are there together.

    Attributes:
        made: those that got an image.
        before_bytes, most_bytes: what was in memory before, and at most.
    """

    way: str
    requests: int
    made: int
    body_bytes: int
    before_bytes: int
    most_bytes: int

    @property
    def grown_bytes(self) -> int:
        return self.most_bytes - self.before_bytes


class Burst(Frozen):
    """Requests that come at once to a pod that cannot take them all.

    Attributes:
        first_s, p50_s, last_s: until an answer that says 429.
        cpu_s: of the gateway, for the whole burst; 0 straight at the pod.
    """

    way: str
    requests: int
    made: int
    refused: int
    failed: int
    first_s: float
    p50_s: float
    last_s: float
    cpu_s: float


class GatewayResult(Result):
    """What the gateway and others added to requests, what they held, and how fast it refused those beyond its limit."""

    levels: tuple[Level, ...]
    held: tuple[HeldBodies, ...]
    bursts: tuple[Burst, ...]

    def level(self, in_flight: int) -> Level:
        """The last one of the gateway with so many requests in flight."""
        return next(lv for lv in reversed(self.levels) if lv.in_flight == in_flight and lv.way == GATEWAY)

    def targets(self) -> tuple[Goal, ...]:
        at = self.level(100)
        few, many = self.level(1), self.level(1000)
        growth = many.cpu_s / few.cpu_s
        return (
            _within("added-p50", "adds at most 1 ms to the median, 100 in flight", ADDED_S, at.added_s),
            _within(
                "added-p99", "adds at most 5 ms to the slowest hundredth, 100 in flight", ADDED_P99_S, at.added_p99_s
            ),
            _within("growth", "CPU of a request with 1,000 in flight at most 1.2 times that with 1", GROWTH, growth),
            *(
                _within("held", f"memory grows by less than a tenth of {one.requests} bodies", HELD_SHARE, _share(one))
                for one in self.held
                if one.way == GATEWAY
            ),
            *(
                _within("refusal", f"the last of {b.refused} refusals within 0.5 s", REFUSAL_S, b.last_s)
                for b in self.bursts
                if b.refused and b.way == "gateway"
            ),
        )


def _share(one: HeldBodies) -> float:
    return one.grown_bytes / (one.requests * one.body_bytes)


def _within(key: str, what: str, most: float, got: float) -> Goal:
    return Goal(key=f"gateway/{key}", what=what, at_least=1.0, got=most / max(got, 1e-6))
