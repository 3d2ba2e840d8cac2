"""A container's pod and node."""

from dataclasses import dataclass
from pathlib import Path

from lorapool_local.node.containers.deps import NodeDeps
from lorapool_local.node.containers.logs import log_file
from lorapool_local.node.spec.environment import Placement
from lorapool_local.node.spec.pod import Pod
from lorapool_local.node.volumes.volumes import PodVolumes


@dataclass(frozen=True)
class PodContext:
    """A pod as its containers see it: spec, addresses, volumes, folder, and what the node shares."""

    pod: Pod
    placement: Placement
    volumes: PodVolumes
    folder: Path
    deps: NodeDeps

    def message_file(self, container: str) -> Path:
        """What the container writes to its `terminationMessagePath`."""
        return self.folder / "messages" / container

    def log_file(self, container: str, restart_count: int) -> Path:
        return log_file(self.folder, container, restart_count)

    def normal(self, reason: str, message: str) -> None:
        self.deps.events.normal(self.pod, reason, message)

    def warning(self, reason: str, message: str) -> None:
        self.deps.events.warning(self.pod, reason, message)
