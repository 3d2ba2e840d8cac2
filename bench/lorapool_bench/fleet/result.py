"""What the bench of a fleet found."""

from typing import Final

from lorapool_bench.measure.result import Frozen, Goal, Result

READY_S: Final = 15.0
SHARE_S: Final = 10.0
GROWTH_BYTES: Final = 200_000_000
STALL_S: Final = 0.05


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


class JoinRun(Frozen):
    """A pod that comes to a pool that is complete.

    Attributes:
        ready_s: from the moment that its control port answers with a warm base and it is told of the adapters, until
            it takes requests.
        share: adapters that it holds then; `share_s`: until they are on its disk, from the same moment.
        downloads: files that the Hub was asked for.
    """

    pods: int
    adapters: int
    ready_s: float
    share: int
    share_s: float
    downloads: int


class LargeRun(Frozen):
    """A large catalog, each pod in a process of its own.

    Attributes:
        grown_bytes: the most memory of a pod beyond what it takes idle, its base warm, without a catalog.
        stall_s: the longest that a pod's event loop came round late; `core_s`: how long of it that loop's thread could
            have run and had no core.
        own_s: the most CPU of a loop's own thread in one such turn.
        apart_s: the longest without waiting for a core: by the pod's own doing.
        late: turns that came later than 50 ms, of all pods; `late_apart`: by the pod's own doing.
        cpu_s: of all pods until all is held; it, and `grown_bytes`, count the processes that a pod starts.
        catalog_bytes: of the message with the whole catalog; `change_bytes`: of one about one adapter, with its answer.
        change_cpu_s: of one pod, for one such change, kept on disk.
    """

    pods: int
    adapters: int
    held_s: float
    grown_bytes: int
    stall_s: float
    core_s: float
    own_s: float
    apart_s: float
    late: int
    late_apart: int
    cpu_s: float
    catalog_bytes: int
    change_bytes: int
    change_cpu_s: float


class PlacementRun(Frozen):
    """The placement alone.

    Attributes:
        first_s: CPU to place all from nothing; `went_s`: when a pod has gone, `came_s`: when one more has come,
            `tight_s`: on disks that are full to 95 in 100, with that one gone again.
        least, most: copies on one pod; copies * adapters / pods are due.
        went_moved, came_moved: the share of all copies that a pod must bring that did not hold them.
        is_stable: a pod that comes back gets what it had.
        tight_missing: copies without room.
    """

    pods: int
    adapters: int
    copies: int
    first_s: float
    went_s: float
    came_s: float
    tight_s: float
    least: int
    most: int
    went_moved: float
    came_moved: float
    is_stable: bool
    tight_missing: int


class FleetResult(Result):
    """Pools of different sizes."""

    runs: tuple[FleetRun, ...]
    joined: JoinRun | None = None
    large: LargeRun | None = None
    large_few: LargeRun | None = None
    placed: PlacementRun | None = None

    def targets(self) -> tuple[Goal, ...]:
        once = (
            _goal(f"once-{run.copies}", f"a file is downloaded once, copies {run.copies}", run.adapters, run.downloads)
            for run in self.runs
        )
        ready = (
            _goal(
                f"ready-{run.copies}",
                f"every adapter served within {READY_S:g} s, copies {run.copies}",
                READY_S,
                run.served_s,
            )
            for run in self.runs
        )
        return (*once, *ready, *self._joined(), *self._large())

    def _joined(self) -> tuple[Goal, ...]:
        if self.joined is None:
            return ()
        return (_goal("share", f"the share of a pod that comes within {SHARE_S:g} s", SHARE_S, self.joined.share_s),)

    def _large(self) -> tuple[Goal, ...]:
        if (large := self.large) is None:
            return ()
        memory = f"{large.adapters} adapters: a pod grows by less than {GROWTH_BYTES // 10**6} MB"
        stall = f"{large.adapters} adapters: no event loop is late by {STALL_S * 1000:g} ms"
        apart = "the same, without waiting for a core that others have"
        return (
            _goal("memory", memory, GROWTH_BYTES, large.grown_bytes),
            _goal("stall", stall, STALL_S, large.stall_s),
            _goal("apart", apart, STALL_S, large.apart_s),
        )


def _goal(key: str, what: str, most: float, measured: float) -> Goal:
    """Less than that was asked for."""
    return Goal(key=f"fleet/{key}", what=what, at_least=1.0, got=most / max(measured, 1e-9))
