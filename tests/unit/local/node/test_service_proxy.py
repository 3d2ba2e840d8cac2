"""Services of the embedded plane."""

import asyncio
import contextlib
from typing import Any

import pytest

from lorapool_local.loopback import free_ports
from lorapool_local.node.network.proxy import Frontend, ServiceProxy, frontends

Object = dict[str, Any]


def service(port: Object | None = None, **spec: Any) -> dict[str, Object]:
    plain = {
        "clusterIP": "127.9.240.1",
        "selector": {"app": "x"},
        "ports": [port or {"port": 80, "targetPort": "http"}],
    }
    return {"s": {"metadata": {"namespace": "default", "name": "s"}, "spec": plain | spec}}


def pod(address: str, ready: bool = True, namespace: str = "default", app: str = "x", going: bool = False) -> Object:
    metadata: Object = {"namespace": namespace, "name": address, "labels": {"app": app}}
    return {
        "metadata": metadata | ({"deletionTimestamp": "now"} if going else {}),
        "spec": {"containers": [{"ports": [{"name": "http", "containerPort": 8080}]}]},
        "status": {"podIP": address, "conditions": [{"type": "Ready", "status": str(ready)}]},
    }


def backends(service_: dict[str, Object], *pods: Object) -> tuple[tuple[str, int], ...]:
    (frontend,) = frontends(service_, {str(i): p for i, p in enumerate(pods)})
    return frontend.backends


def test_ready_pods_that_the_selector_picks_are_behind_a_service() -> None:
    pods = (
        pod("127.9.1.1"),
        pod("127.9.1.2", ready=False),
        pod("127.9.1.3", namespace="other"),
        pod("127.9.1.4", app="y"),
        pod("127.9.1.5", going=True),
    )
    assert backends(service(), *pods) == (("127.9.1.1", 8080),)


def test_a_target_port_may_be_a_number_or_left_out() -> None:
    assert backends(service({"port": 80, "targetPort": 9000}), pod("127.9.1.1")) == (("127.9.1.1", 9000),)
    assert backends(service({"port": 80}), pod("127.9.1.1")) == (("127.9.1.1", 80),)


def test_services_without_a_cluster_ip_or_selector_have_no_listener() -> None:
    assert not frontends(service(clusterIP="None"), {})
    assert not frontends(service(selector=None), {})


async def echo(name: bytes, host: str) -> tuple[asyncio.Server, int]:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(name + await reader.read())
        writer.close()

    server = await asyncio.start_server(answer, host, 0)
    return server, server.sockets[0].getsockname()[1]


async def ask(host: str, port: int) -> bytes:
    reader, writer = await asyncio.open_connection(host, port)
    writer.write(b"!")
    writer.write_eof()
    try:
        return await asyncio.wait_for(reader.read(), 5)
    finally:
        writer.close()


async def test_connections_go_to_the_pods_in_turn_and_past_a_dead_one() -> None:
    host = "127.0.0.1"
    (one, port_one), (two, port_two) = await echo(b"one", host), await echo(b"two", host)
    dead, listen = free_ports(host, 2)
    proxy = ServiceProxy()
    await proxy.update((Frontend(host, listen, ((host, port_one), (host, port_two), (host, dead))),))
    answers = [await ask(host, listen) for _ in range(6)]
    assert set(answers) == {b"one!", b"two!"}
    await proxy.update((Frontend(host, listen, ((host, port_two),)),))
    assert await ask(host, listen) == b"two!"
    await proxy.close()
    with pytest.raises(OSError):  # noqa: PT011 -- refused or reset, as the kernel likes
        await ask(host, listen)
    one.close()
    two.close()


async def test_a_service_without_pods_ends_the_connection() -> None:
    host = "127.0.0.1"
    (listen,) = free_ports(host, 1)
    proxy = ServiceProxy()
    await proxy.update((Frontend(host, listen, ()),))
    with contextlib.suppress(ConnectionResetError):
        assert await ask(host, listen) == b""
    await proxy.close()
