"""What was found where the traces were played for real."""

from lorapool_bench.measure.result import Frozen, Goal, Result
from lorapool_bench.routing.result import SHARE, WayRun


class RealRun(Frozen):
    """One way to choose a pod; times are those of the trace, unless they are CPU.

    Attributes:
        played: by gateways and pods that are processes.
        simulated: the same trace on the simulated clock, which is as fast, with the costs that the pods have measured.
        unhurried: the same on a simulated clock of speed 1, with these costs times the speed.
        failed: requests that got no image, for whatever reason.
        late_s: by how much the latest request was sent too late.
        fresh: share of the requests that were sent by a status of at most 100 ms.
        took_s: on the clock of the machine.
        gateways_cpu_s, pods_cpu_s: of all of them together meanwhile.
    """

    played: WayRun
    simulated: WayRun
    unhurried: WayRun
    failed: int
    late_s: float
    fresh: float
    took_s: float
    gateways_cpu_s: float
    pods_cpu_s: float


class PodCosts(Frozen):
    """What the pods have measured, in seconds on the clock of the machine: medians over them, of the first way.

    Attributes:
        load_s: of an adapter to the device, by its tier.
    """

    inference_s: float
    switch_s: float
    load_s: dict[str, float]


class LineCosts(Frozen):
    """A line of a pod's state that tells a change, of a queue with so many requests of so many callers; CPU.

    Attributes:
        pod_s: until the line is there; `gateway_s`: until it is taken in.
    """

    waiting: int
    callers: int
    size_bytes: int
    pod_s: float
    gateway_s: float


class StreamCosts(Frozen):
    """The streams of all pods to all gateways, while nobody asks for anything; CPU of a stream in a second.

    Attributes:
        line: of one that has much to tell.
    """

    streams: int
    idle_pod_s: float
    idle_gateway_s: float
    line: LineCosts


class RealResult(Result):
    """One trace, played in each way.

    Attributes:
        speed: of the clock, an A10G is 1; `seconds`: for how long requests came, on the clock of the machine.
        load: share of the pods' time that inference alone takes.
        one_queue_p95_s: of a single queue for all pods, where nothing is loaded or switched.
    """

    pods: int
    requests: int
    speed: float
    seconds: float
    load: float
    one_queue_p95_s: float
    runs: tuple[RealRun, ...]
    costs: PodCosts
    stream: StreamCosts

    def targets(self) -> tuple[Goal, ...]:
        """As ratios: more is better."""
        ours = self.runs[0].played
        what = f"p95 of the share of switching at most {SHARE:.0%} of inference, for real"
        return (Goal(key="routing-real/share", what=what, at_least=1.0, got=SHARE / ours.p95_share),)
