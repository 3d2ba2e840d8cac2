"""Services of the plane: a listener at each cluster IP that passes connections on to a ready pod.

What kube-proxy does by rules in the kernel is done here by a process, since cluster IPs of a plane are loopback
addresses of its own and its pods have no EndpointSlices (those refuse loopback addresses).
"""

import asyncio
import contextlib
import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import structlog

from lorapool_common.kube.resources import Manifest

log = structlog.get_logger(__name__)

_CHUNK_BYTES: Final = 64 * 1024


@dataclass(frozen=True)
class Frontend:
    """An address that clients use, and the ready pods behind it as (address, port)."""

    address: str
    port: int
    backends: tuple[tuple[str, int], ...]


def frontends(services: Mapping[str, Manifest], pods: Mapping[str, Manifest]) -> tuple[Frontend, ...]:
    """What is to be listened at: every TCP port of every Service that has a cluster IP and a selector."""
    return tuple(
        Frontend(spec["clusterIP"], port["port"], _backends(service, port, pods))
        for service in services.values()
        for spec in (service["spec"],)
        if spec.get("selector") and spec.get("clusterIP") not in (None, "", "None")
        for port in spec.get("ports", ())
        if port.get("protocol", "TCP") == "TCP"
    )


def _backends(service: Manifest, port: Manifest, pods: Mapping[str, Manifest]) -> tuple[tuple[str, int], ...]:
    unready = service["spec"].get("publishNotReadyAddresses", False)
    found = (
        (pod["status"]["podIP"], _target(port, pod))
        for pod in pods.values()
        if _selects(service, pod) and (unready or _is_ready(pod)) and pod["status"].get("podIP")
    )
    return tuple(sorted((address, target) for address, target in found if target is not None))


def _selects(service: Manifest, pod: Manifest) -> bool:
    labels = pod["metadata"].get("labels", {})
    same_namespace: bool = service["metadata"]["namespace"] == pod["metadata"]["namespace"]
    return same_namespace and all(labels.get(k) == v for k, v in service["spec"]["selector"].items())


def _is_ready(pod: Manifest) -> bool:
    if pod["metadata"].get("deletionTimestamp"):
        return False
    return any(c["type"] == "Ready" and c["status"] == "True" for c in pod.get("status", {}).get("conditions", ()))


def _target(port: Manifest, pod: Manifest) -> int | None:
    target = port.get("targetPort", port["port"])
    if isinstance(target, int):
        return target
    named = (p for c in pod["spec"]["containers"] for p in c.get("ports", ()) if p.get("name") == target)
    return next((p["containerPort"] for p in named), None)


class ServiceProxy:
    """Keeps one listener for each frontend; connections go to its backends in turn."""

    def __init__(self) -> None:
        self._listeners: dict[tuple[str, int], asyncio.Server] = {}
        self._backends: dict[tuple[str, int], tuple[tuple[str, int], ...]] = {}
        self._turn = itertools.count()

    async def update(self, wanted: tuple[Frontend, ...]) -> None:
        """Listen at these frontends, and at no others. An address that cannot be had is logged and left."""
        self._backends = {(f.address, f.port): f.backends for f in wanted}
        for endpoint in self._listeners.keys() - self._backends.keys():
            self._listeners.pop(endpoint).close()
        for endpoint in self._backends.keys() - self._listeners.keys():
            try:
                self._listeners[endpoint] = await self._listen(endpoint)
            except OSError as error:
                log.warning("service has no listener", address=endpoint[0], port=endpoint[1], error=str(error))

    async def close(self) -> None:
        await self.update(())

    async def _listen(self, endpoint: tuple[str, int]) -> asyncio.Server:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            with contextlib.closing(writer):
                await self._serve(endpoint, reader, writer)

        return await asyncio.start_server(serve, *endpoint)

    async def _serve(
        self, endpoint: tuple[str, int], reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        backend = await self._connect(endpoint)
        if backend is None:
            return  # closed without a word, as a Service without endpoints refuses
        upstream_reader, upstream_writer = backend
        with contextlib.closing(upstream_writer):
            one = asyncio.create_task(_pump(reader, upstream_writer))
            other = asyncio.create_task(_pump(upstream_reader, writer))
            # Both directions: a client may end its half and still wait for the answer.
            await asyncio.wait({one, other}, return_when=asyncio.ALL_COMPLETED)

    async def _connect(self, endpoint: tuple[str, int]) -> tuple[asyncio.StreamReader, asyncio.StreamWriter] | None:
        """A connection to one of the backends; each is tried once, beginning with the next in turn."""
        backends = self._backends.get(endpoint, ())
        start = next(self._turn)
        for offset in range(len(backends)):
            with contextlib.suppress(OSError):
                return await asyncio.open_connection(*backends[(start + offset) % len(backends)])
        return None


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Pass bytes on until one side ends, however it ends; then tell the other side that no more will come."""
    with contextlib.suppress(OSError):
        while chunk := await reader.read(_CHUNK_BYTES):
            writer.write(chunk)
            await writer.drain()
    with contextlib.suppress(OSError):
        writer.write_eof()
