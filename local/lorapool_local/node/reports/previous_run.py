"""What became of a pod's containers while the node was away: after a restart of the plane, as after a node's reboot."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from lorapool_local.node.reports.snapshot import ContainerTerminated
from lorapool_local.node.spec.pod import ReportedContainerStatus

_UNKNOWN = "ContainerStatusUnknown"
_KILLED = 137


@dataclass(frozen=True)
class PreviousRun:
    """How a container ended before this node started, and whether it is over for good."""

    restart_count: int = 0
    ended: ContainerTerminated | None = None
    is_final: bool = False


def previous_run(name: str, statuses: tuple[ReportedContainerStatus, ...], restart_policy: str) -> PreviousRun:
    """A container that ran when the node went was killed with it; its pod's policy says whether it runs again."""
    old = next((status for status in statuses if status.name == name), None)
    if old is None:
        return PreviousRun()
    if (terminated := old.state.get("terminated")) is not None:
        ended = _parse(terminated)
    elif (running := old.state.get("running")) is not None:
        ended = ContainerTerminated(
            _KILLED, _UNKNOWN, _time(running.get("startedAt")), None, message="the node restarted"
        )
    else:
        return PreviousRun(restart_count=old.restart_count)
    finished = restart_policy == "Never" or (restart_policy == "OnFailure" and ended.exit_code == 0)
    return PreviousRun(old.restart_count, ended, finished)


def _parse(value: dict[str, Any]) -> ContainerTerminated:
    return ContainerTerminated(
        exit_code=value.get("exitCode", 0),
        reason=value.get("reason", ""),
        started_at=_time(value.get("startedAt")),
        finished_at=_time(value.get("finishedAt")),
        signal=value.get("signal", 0),
        message=value.get("message", ""),
    )


def _time(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text).astimezone(UTC) if text else None
