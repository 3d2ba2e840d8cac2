"""What the bench of the operator found."""

from typing import Final

from lorapool_bench.measure.result import Frozen, Goal, Result

BURST, ONE, IDLE, RESTART = "burst", "one", "idle", "restart"
DELETE, COLD, COLD_DELETE = "delete", "cold", "cold-delete"
_MB: Final = 1_000_000
# What was asked for, of a thousand adapters; of ten thousand below.
_AFTER_APPLY_S: Final = 1.0
_ONE_S: Final = 0.2
_RESTART_S: Final = 2.0
_DELETE_S: Final = 10.0
_COLD_S: Final = 6.0
_CPU_S: Final = 3.0
_BYTES: Final = 150 * _MB
_WRITES: Final = 2.0
_IDLE_SHARE: Final = 0.005
_LARGE_COLD_S: Final = 60.0
_LARGE_BYTES: Final = 400 * _MB


class Writes(Frozen):
    """Requests of the operator that write, by what: the Lease apart, `others` are the pool's objects and status."""

    finalizers: int = 0
    statuses: int = 0
    events: int = 0
    others: int = 0
    lease: int = 0

    @property
    def of_adapters(self) -> int:
        return self.finalizers + self.statuses + self.events


class OperatorScene(Frozen):
    """One thing that was done, and what it cost the operator.

    Attributes:
        what: one of the words above.
        adapters: that there were, or came or went.
        took_s: of a burst from the last apply until all were served; of a cold operator and a restart from the start of
            the process; of one more and of deletions from the request. Of some of them: the median.
        lasted_s: all of it.
        cpu_s: the operator's, its start included where it starts. Of one more: of each.
        most_bytes: the most memory of the operator's process so far.
        slowest_s: where `took_s` is a median, the longest.
        changed: the pool and its objects of which the API server has another version than before.
    """

    what: str
    adapters: int
    took_s: float
    lasted_s: float
    cpu_s: float
    most_bytes: int
    writes: Writes
    slowest_s: float | None = None
    changed: int = 0


class OperatorResult(Result):
    """Pools of two sizes.

    Attributes:
        pods: of the pool.
        large: adapters of the larger one.
    """

    pods: int
    large: int
    scenes: tuple[OperatorScene, ...]

    def targets(self) -> tuple[Goal, ...]:
        return tuple(goal for scene in self.scenes for goal in _goals(scene, is_large=scene.adapters >= self.large))


def _goals(scene: OperatorScene, *, is_large: bool) -> list[Goal]:
    size, count = f"{scene.adapters:,} adapters", max(scene.adapters, 1)
    match scene.what:
        case "burst":
            served = f"{size}: all served within {_AFTER_APPLY_S:g} s of the last apply"
            each = scene.writes.of_adapters / count
            return [
                _goal("burst", served, _AFTER_APPLY_S, scene.took_s),
                _goal("cpu", f"{size}: CPU of the operator at most {_CPU_S:g} s", _CPU_S, scene.cpu_s),
                _goal("memory", f"{size}: at most {_BYTES // _MB} MB of memory", _BYTES, scene.most_bytes),
                _goal("writes", f"{size}: {_WRITES:g} writes for each", _WRITES, each),
            ]
        case "one" if not is_large:
            return [_goal("one", f"one more among {size} within {_ONE_S:g} s", _ONE_S, scene.took_s)]
        case "idle":
            share, words = scene.cpu_s / scene.lasted_s, f"at most {_IDLE_SHARE:.1%} of a core"
            return [
                _goal("idle", f"{size}, nothing to do: {words}", _IDLE_SHARE, share),
                _nothing_written("idle-writes", "nothing to do: no write but the Lease", scene),
            ]
        case "restart" if not is_large:
            return [
                _goal("restart", f"{size}: ready within {_RESTART_S:g} s of a restart", _RESTART_S, scene.took_s),
                _nothing_written("restart-writes", "a restart writes nothing", scene),
            ]
        case "delete" | "cold-delete":
            words = "found by an operator that starts" if scene.what == COLD_DELETE else "while it runs"
            return [_goal(scene.what, f"{size} deleted, {words}: within {_DELETE_S:g} s", _DELETE_S, scene.took_s)]
        case "cold":
            most_s = _LARGE_COLD_S if is_large else _COLD_S
            goals = [_goal(f"cold-{count}", f"{size}: from a cold operator within {most_s:g} s", most_s, scene.took_s)]
            memory = f"{size}: at most {_LARGE_BYTES // _MB} MB of memory"
            return [*goals, _goal("large-memory", memory, _LARGE_BYTES, scene.most_bytes)] if is_large else goals
    return []


def _nothing_written(key: str, what: str, scene: OperatorScene) -> Goal:
    """A write that changes nothing is none: a new operator applies the pool's objects as they are."""
    return _goal(key, what, 1.0, 1.0 + scene.writes.of_adapters + scene.changed)


def _goal(key: str, what: str, most: float, measured: float) -> Goal:
    """At most that was asked for."""
    return Goal(key=f"operator/{key}", what=what, at_least=1.0, got=most / max(measured, 1e-9))
