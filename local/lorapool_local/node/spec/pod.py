"""What the node reads of a Pod: frozen values, parsed once at the edge."""

from datetime import datetime
from typing import Any

from pydantic import Field, field_validator

from lorapool_local.node.spec.container import Container
from lorapool_local.node.spec.value import SpecValue


class PodSecurityContext(SpecValue):
    """The security context of a pod: what its containers have unless they say otherwise."""

    run_as_user: int | None = None
    run_as_group: int | None = None
    fs_group: int | None = None
    supplemental_groups: tuple[int, ...] = ()


class Volume(SpecValue):
    """One volume; `source` is the JSON of its kind, as `("emptyDir", {...})`."""

    name: str
    kind: str
    source: dict[str, Any]

    @classmethod
    def parse(cls, value: dict[str, Any]) -> "Volume":
        kind = next((key for key in value if key != "name"), "emptyDir")
        return cls(name=value["name"], kind=kind, source=value.get(kind) or {})


class PodSpec(SpecValue):
    """`PodSpec`, as far as the node honours it."""

    node_name: str = ""
    service_account_name: str = "default"
    restart_policy: str = "Always"
    termination_grace_period_seconds: float = 30
    enable_service_links: bool = True
    hostname: str = ""
    security_context: PodSecurityContext = PodSecurityContext()
    containers: tuple[Container, ...]
    init_containers: tuple[Container, ...] = ()
    volumes: tuple[Volume, ...] = ()
    readiness_gates: tuple[dict[str, str], ...] = ()

    @field_validator("volumes", mode="before")
    @classmethod
    def _parse_volumes(cls, value: Any) -> Any:
        return [Volume.parse(volume) if isinstance(volume, dict) else volume for volume in value or ()]


class ObjectMeta(SpecValue):
    """`ObjectMeta` of a pod."""

    name: str
    namespace: str
    uid: str
    labels: dict[str, str] = Field(default_factory=dict)
    annotations: dict[str, str] = Field(default_factory=dict)
    deletion_timestamp: datetime | None = None
    deletion_grace_period_seconds: float | None = None


class ReportedContainerStatus(SpecValue):
    """What an earlier run of the node, or this one, reported of a container."""

    name: str
    restart_count: int = 0
    state: dict[str, Any] = Field(default_factory=dict)


class ReportedStatus(SpecValue):
    """The status in the API: what this node, now or before a restart, has reported."""

    phase: str = "Pending"
    pod_ip: str | None = Field(None, alias="podIP")
    start_time: datetime | None = None
    conditions: tuple[dict[str, Any], ...] = ()
    container_statuses: tuple[ReportedContainerStatus, ...] = ()
    init_container_statuses: tuple[ReportedContainerStatus, ...] = ()


class Pod(SpecValue):
    """A Pod as the API server has it."""

    metadata: ObjectMeta
    spec: PodSpec
    status: ReportedStatus = ReportedStatus()

    @property
    def uid(self) -> str:
        return self.metadata.uid

    @property
    def key(self) -> str:
        return f"{self.metadata.namespace}/{self.metadata.name}"

    @property
    def is_finished(self) -> bool:
        return self.status.phase in ("Succeeded", "Failed")
