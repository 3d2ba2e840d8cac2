"""How a container's run is reported when it has ended."""

import contextlib
from datetime import datetime
from pathlib import Path

from lorapool_local.node.containers.logs import last_lines
from lorapool_local.node.containers.process import Exit
from lorapool_local.node.reports.snapshot import COMPLETED, ERROR, ContainerTerminated
from lorapool_local.node.spec.container import Container

_MAX_MESSAGE_BYTES = 4096


def terminated(outcome: Exit, started_at: datetime, finished_at: datetime, message: str) -> ContainerTerminated:
    """The state of a container after a run; the message is that of its process, if it came to run one."""
    return ContainerTerminated(
        exit_code=outcome.shown_code,
        reason="StartError" if outcome.error else COMPLETED if outcome.shown_code == 0 else ERROR,
        started_at=started_at,
        finished_at=finished_at,
        signal=outcome.signal,
        message=outcome.error or message,
    )


def termination_message(container: Container, outcome: Exit, file: Path, log: Path) -> str:
    """What the container has written to its message file, else the end of its log where its policy says so."""
    with contextlib.suppress(OSError):
        if text := file.read_bytes()[:_MAX_MESSAGE_BYTES].decode(errors="replace"):
            return text
    if container.termination_message_policy == "FallbackToLogsOnError" and outcome.shown_code != 0:
        return last_lines(log)
    return ""
