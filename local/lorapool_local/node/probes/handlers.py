"""One call of what a probe asks or a hook does."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import httpx

from lorapool_local.node.spec.container import Container
from lorapool_local.node.spec.probe import Handler, HttpGet, TcpSocket

_USER_AGENT = "kube-probe/1.34"

# Runs a command in the container; (exit code, output).
RunInContainer = Callable[[tuple[str, ...]], Awaitable[tuple[int, str]]]


@dataclass(frozen=True)
class ProbeResult:
    """Whether the container passed, and if not why."""

    ok: bool
    message: str = ""


@dataclass(frozen=True)
class ProbeTarget:
    """A container that is probed: its address, a way to run commands in it, an HTTP client."""

    container: Container
    address: str
    run: RunInContainer
    http: httpx.AsyncClient


def probe_client() -> httpx.AsyncClient:
    """As the kubelet's: no redirect to follow, and the certificate of a pod is not verified."""
    return httpx.AsyncClient(verify=False, trust_env=False)  # noqa: S501


async def ask(handler: Handler, target: ProbeTarget, timeout_s: float) -> ProbeResult:
    """Never raises: what goes wrong is the answer."""
    try:
        return await asyncio.wait_for(_ask(handler, target, timeout_s), timeout_s)
    except TimeoutError:
        return ProbeResult(False, f"no answer within {timeout_s:g} s")
    except (OSError, httpx.HTTPError, ValueError) as error:
        return ProbeResult(False, str(error) or type(error).__name__)


async def _ask(handler: Handler, target: ProbeTarget, timeout_s: float) -> ProbeResult:
    if handler.http_get is not None:
        return await _http_get(handler.http_get, target, timeout_s)
    if handler.tcp_socket is not None:
        return await _tcp(handler.tcp_socket, target)
    if handler.exec is not None:
        code, output = await target.run(handler.exec.command)
        return ProbeResult(code == 0, output.strip())
    if handler.sleep is not None:
        await asyncio.sleep(handler.sleep.seconds)
        return ProbeResult(True)
    return ProbeResult(False, "this node knows httpGet, tcpSocket, exec and sleep")


async def _http_get(get: HttpGet, target: ProbeTarget, timeout_s: float) -> ProbeResult:
    port = target.container.port_number(get.port)
    path = get.path if get.path.startswith("/") else f"/{get.path}"
    url = f"{get.scheme.lower()}://{get.host or target.address}:{port}{path}"
    headers = {"user-agent": _USER_AGENT, "accept": "*/*", "connection": "close"}
    headers |= {header["name"]: header["value"] for header in get.http_headers}
    reply = await target.http.get(url, headers=headers, timeout=timeout_s)
    if reply.status_code < 400:
        return ProbeResult(True)
    return ProbeResult(False, f"HTTP probe failed with statuscode: {reply.status_code}: {reply.text[:200]}")


async def _tcp(socket: TcpSocket, target: ProbeTarget) -> ProbeResult:
    port = target.container.port_number(socket.port)
    _, writer = await asyncio.open_connection(socket.host or target.address, port)
    writer.close()
    return ProbeResult(True)
