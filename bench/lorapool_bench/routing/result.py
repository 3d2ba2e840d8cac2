"""What the bench of the gateway's choice found, on its simulated clock."""

from lorapool_bench.measure.result import Frozen, Goal, Result

SHARE = 0.01
SAVED = 0.9


class WayRun(Frozen):
    """How one way to choose served a trace; times in seconds, shares of the inference.

    Attributes:
        p95_share: of the requests 95 in 100 spent no more on their adapters, of what inference takes.
    """

    way: str
    refused: int
    switches: int
    p50_s: float
    p95_s: float
    mean_share: float
    p95_share: float


class TraceRun(Frozen):
    """One trace, the same for all ways.

    Attributes:
        load: share of the pods' time that inference alone takes.
        one_queue_p50_s, one_queue_p95_s: where all pods take from one queue, first come first served, and nothing is
            loaded or switched.
    """

    name: str
    pods: int
    requests: int
    load: float
    ways: tuple[WayRun, ...]
    one_queue_p50_s: float
    one_queue_p95_s: float


class GpuHours(Frozen):
    """What the article's six hours take.

    Attributes:
        each: a deployment per adapter, always on.
        each_idle: a deployment per adapter that ends after so long without a request.
        ours: the pods of the pool, and one for other bases.
    """

    each: float
    each_idle: float
    idle_minutes: float
    ours: float


class RoutingResult(Result):
    """Each trace under each way."""

    runs: tuple[TraceRun, ...]
    hours: GpuHours

    def targets(self) -> tuple[Goal, ...]:
        """As ratios: more is better."""
        share = max(run.ways[0].p95_share for run in self.runs)
        hours, left = self.hours, (1 - SAVED) / self.hours.ours
        within = f"p95 of the share of switching at most {SHARE:.0%} of inference, in each trace"
        saved = f"{SAVED:.0%} of GPU-hours saved beside one deployment per adapter"
        idle = f"the same where each ends after {hours.idle_minutes:g} idle minutes"
        return (
            Goal(key="routing/share", what=within, at_least=1.0, got=SHARE / share),
            Goal(key="routing/hours", what=saved, at_least=1.0, got=left * hours.each),
            Goal(key="routing/hours-idle", what=idle, at_least=1.0, got=left * hours.each_idle),
        )
