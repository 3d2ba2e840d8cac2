"""What the bench of the gateway found."""

from typing import Final

from lorapool_bench.measure.result import Frozen, Goal, Result

# Asked of the gateway: what it adds to the median, and how long a refusal may take.
ADDED_S: Final = 0.004
REFUSAL_S: Final = 0.5
# What a request may cost with many in flight, beside what it costs with one: room for noise, none for growth.
GROWTH: Final = 1.5


class Latency(Frozen):
    """Of requests from the first byte sent to the last byte read, in seconds."""

    p50_s: float
    p99_s: float
    requests: int


class Level(Frozen):
    """One load, straight at the pods and through the gateway, in turns.

    Attributes:
        takes_s: that the pods take for an image, whatever else they do.
        cpu_s: of the gateway, for each request through it.
    """

    pods: str
    in_flight: int
    takes_s: float
    straight: Latency
    gateway: Latency
    cpu_s: float

    @property
    def added_s(self) -> float:
        """To the median."""
        return self.gateway.p50_s - self.straight.p50_s

    @property
    def ratio(self) -> float:
        return self.gateway.p50_s / self.straight.p50_s


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
    """What the gateway added to requests, and how fast it refused those beyond its limit."""

    levels: tuple[Level, ...]
    bursts: tuple[Burst, ...]

    def level(self, in_flight: int) -> Level:
        """The last one with so many requests in flight."""
        return next(level for level in reversed(self.levels) if level.in_flight == in_flight)

    def targets(self) -> tuple[Goal, ...]:
        added = tuple(
            Goal(
                key=f"gateway/added-{level.in_flight}-{level.pods.split()[0]}",
                what=f"adds at most {ADDED_S * 1e3:g} ms to the median, {level.in_flight} in flight, {level.pods}",
                at_least=1.0,
                got=ADDED_S / max(level.added_s, 1e-6),
            )
            for level in self.levels
            if level.in_flight in (1, 100)
        )
        refusals = tuple(
            Goal(
                key=f"gateway/refusal-{burst.way}",
                what=f"the last of {burst.refused} refusals within {REFUSAL_S:g} s",
                at_least=1.0,
                got=REFUSAL_S / burst.last_s,
            )
            for burst in self.bursts
            if burst.refused and burst.way == "gateway"
        )
        few, many = self.level(10), self.level(300)
        growth = Goal(
            key="gateway/growth",
            what=f"CPU of a request with 300 in flight at most {GROWTH:g} times that with 10",
            at_least=1.0,
            got=GROWTH / (many.cpu_s / few.cpu_s),
        )
        return (*added, *refusals, growth)
