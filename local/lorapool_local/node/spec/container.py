"""A container, as the spec of its pod has it."""

from typing import Any

from pydantic import Field

from lorapool_local.node.spec.probe import Lifecycle, Probe
from lorapool_local.node.spec.value import SpecValue


class VolumeMount(SpecValue):
    """Where a container sees a volume."""

    name: str
    mount_path: str
    read_only: bool = False
    sub_path: str = ""


class EnvVar(SpecValue):
    """One environment variable, by value or by reference."""

    name: str
    value: str = ""
    value_from: dict[str, Any] | None = None


class EnvFrom(SpecValue):
    """`EnvFromSource`: all keys of a ConfigMap or Secret."""

    prefix: str = ""
    config_map_ref: dict[str, Any] | None = None
    secret_ref: dict[str, Any] | None = None


class ContainerPort(SpecValue):
    """A named port that probes and Services may refer to."""

    name: str = ""
    container_port: int


class Capabilities(SpecValue):
    """Linux capabilities that a container gives up."""

    drop: tuple[str, ...] = ()


class SecurityContext(SpecValue):
    """The security context of a container."""

    run_as_user: int | None = None
    run_as_group: int | None = None
    read_only_root_filesystem: bool = False
    allow_privilege_escalation: bool = True
    capabilities: Capabilities = Capabilities()


class Resources(SpecValue):
    """`ResourceRequirements`."""

    limits: dict[str, str] = Field(default_factory=dict)
    requests: dict[str, str] = Field(default_factory=dict)


class Container(SpecValue):
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
