"""Probes and hooks of a container, as its spec has them."""

from lorapool_local.node.spec.value import SpecValue


class HttpGet(SpecValue):
    """`HTTPGetAction`."""

    path: str = "/"
    port: int | str
    host: str = ""
    scheme: str = "HTTP"
    http_headers: tuple[dict[str, str], ...] = ()


class TcpSocket(SpecValue):
    """`TCPSocketAction`."""

    port: int | str
    host: str = ""


class Exec(SpecValue):
    """`ExecAction`: exit code 0 is a pass."""

    command: tuple[str, ...] = ()


class Sleep(SpecValue):
    """`SleepAction`, of hooks."""

    seconds: float


class Handler(SpecValue):
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


class Lifecycle(SpecValue):
    """The hooks after a container's start and before its end."""

    post_start: Handler | None = None
    pre_stop: Handler | None = None
