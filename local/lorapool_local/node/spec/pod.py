"""What the node reads of a Pod: frozen values, parsed once at the edge."""

from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, field_validator
from pydantic.alias_generators import to_camel


class _Value(BaseModel):
    """A frozen part of a Pod, in the API's camelCase; fields that the node does not use are ignored."""

    model_config = ConfigDict(frozen=True, extra="ignore", alias_generator=to_camel, populate_by_name=True)


class HttpGet(_Value):
    """`HTTPGetAction`."""

    path: str = "/"
    port: int | str
    host: str = ""
    scheme: str = "HTTP"
    http_headers: tuple[dict[str, str], ...] = ()


class TcpSocket(_Value):
    """`TCPSocketAction`."""

    port: int | str
    host: str = ""


class Exec(_Value):
    """`ExecAction`: exit code 0 is a pass."""

    command: tuple[str, ...] = ()


class Sleep(_Value):
    """`SleepAction`, of hooks."""

    seconds: float


class Handler(_Value):
    """What a probe asks or a hook does: exactly one of these."""

    http_get: HttpGet | None = None
    tcp_socket: TcpSocket | None = None
    exec: Exec | None = None
    sleep: Sleep | None = None


class Probe(Handler):
    """A probe: its handler, how often it is asked, and how many answers in a row count."""

    initial_delay_seconds: float = 0
    period_seconds: float = 10
    timeout_seconds: float = 1
    success_threshold: int = 1
    failure_threshold: int = 3
    termination_grace_period_seconds: float | None = None


class Lifecycle(_Value):
    """The hooks after a container's start and before its end."""

    post_start: Handler | None = None
    pre_stop: Handler | None = None


class VolumeMount(_Value):
    """Where a container sees a volume."""

    name: str
    mount_path: str
    read_only: bool = False
    sub_path: str = ""


class EnvVar(_Value):
    """One environment variable, by value or by reference."""

    name: str
    value: str = ""
    value_from: dict[str, Any] | None = None


class EnvFrom(_Value):
    """`EnvFromSource`: all keys of a ConfigMap or Secret."""

    prefix: str = ""
    config_map_ref: dict[str, Any] | None = None
    secret_ref: dict[str, Any] | None = None


class ContainerPort(_Value):
    """A named port that probes and Services may refer to."""

    name: str = ""
    container_port: int


class Capabilities(_Value):
    """Linux capabilities that a container gives up."""

    drop: tuple[str, ...] = ()


class SecurityContext(_Value):
    """The security context of a container."""

    run_as_user: int | None = None
    run_as_group: int | None = None
    read_only_root_filesystem: bool = False
    allow_privilege_escalation: bool = True
    capabilities: Capabilities = Capabilities()


class PodSecurityContext(_Value):
    """The security context of a pod: what its containers have unless they say otherwise."""

    run_as_user: int | None = None
    run_as_group: int | None = None
    fs_group: int | None = None
    supplemental_groups: tuple[int, ...] = ()


class Resources(_Value):
    """`ResourceRequirements`."""

    limits: dict[str, str] = Field(default_factory=dict)
    requests: dict[str, str] = Field(default_factory=dict)


class Container(_Value):
    """A container of a pod's spec."""

    name: str
    image: str = ""
    command: tuple[str, ...] = ()
    args: tuple[str, ...] = ()
    working_dir: str = ""
    env: tuple[EnvVar, ...] = ()
    env_from: tuple[EnvFrom, ...] = ()
    ports: tuple[ContainerPort, ...] = ()
    volume_mounts: tuple[VolumeMount, ...] = ()
    resources: Resources = Resources()
    startup_probe: Probe | None = None
    readiness_probe: Probe | None = None
    liveness_probe: Probe | None = None
    lifecycle: Lifecycle = Lifecycle()
    security_context: SecurityContext = SecurityContext()
    restart_policy: str | None = None
    termination_message_path: str = "/dev/termination-log"
    termination_message_policy: str = "File"

    def port_number(self, port: int | str) -> int:
        """A port as a probe names it: a number or the name of one of this container's ports."""
        if isinstance(port, int):
            return port
        for candidate in self.ports:
            if candidate.name == port:
                return candidate.container_port
        return int(port)


class Volume(_Value):
    """One volume; `source` is the JSON of its kind, as `("emptyDir", {...})`."""

    name: str
    kind: str
    source: dict[str, Any]

    @classmethod
    def parse(cls, value: dict[str, Any]) -> "Volume":
        kind = next((key for key in value if key != "name"), "emptyDir")
        return cls(name=value["name"], kind=kind, source=value.get(kind) or {})


class PodSpec(_Value):
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


class ObjectMeta(_Value):
    """`ObjectMeta` of a pod."""

    name: str
    namespace: str
    uid: str
    labels: dict[str, str] = Field(default_factory=dict)
    annotations: dict[str, str] = Field(default_factory=dict)
    deletion_timestamp: datetime | None = None
    deletion_grace_period_seconds: float | None = None


class ReportedContainerStatus(_Value):
    """What an earlier run of the node, or this one, reported of a container."""

    name: str
    restart_count: int = 0
    state: dict[str, Any] = Field(default_factory=dict)


class ReportedStatus(_Value):
    """The status in the API: what this node, now or before a restart, has reported."""

    phase: str = "Pending"
    pod_ip: str | None = Field(None, alias="podIP")
    start_time: datetime | None = None
    conditions: tuple[dict[str, Any], ...] = ()
    container_statuses: tuple[ReportedContainerStatus, ...] = ()
    init_container_statuses: tuple[ReportedContainerStatus, ...] = ()


class Pod(_Value):
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
