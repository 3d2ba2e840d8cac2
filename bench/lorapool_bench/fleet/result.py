"""What the bench of a fleet found."""

from typing import Final

from lorapool_bench.measure.result import Frozen, Goal, Result

READY_S: Final = 15.0


class FleetRun(Frozen):
    """One pool, from the moment that its pods are told of the adapters.

    Attributes:
        copies: pods that hold each adapter.
        served_s: until every adapter is READY in some pod; `held_s`: in all that hold it.
        most: downloads of one file from the Hub; `downloads` of all, `asked`: requests of any kind.
        cpu_s: of all pods; `peak_bytes`: of the largest process of pods.
    """

    pods: int
    adapters: int
    copies: int
    served_s: float
    held_s: float
    most: int
    downloads: int
    asked: int
    cpu_s: float
    peak_bytes: int


class FleetResult(Result):
    """Pools of different copies."""

    runs: tuple[FleetRun, ...]

    def targets(self) -> tuple[Goal, ...]:
        once = tuple(
            Goal(
                key=f"fleet/once-{run.copies}",
                what=f"a file is downloaded once, copies {run.copies}",
                at_least=1.0,
                got=run.adapters / run.downloads,
            )
            for run in self.runs
        )
        ready = tuple(
            Goal(
                key=f"fleet/ready-{run.copies}",
                what=f"every adapter served within {READY_S:g} s, copies {run.copies}",
                at_least=1.0,
                got=READY_S / run.served_s,
            )
            for run in self.runs
        )
        return (*once, *ready)
