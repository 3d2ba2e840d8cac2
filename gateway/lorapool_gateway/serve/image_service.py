"""One request for images from its names to its answer, whatever the dialect."""

import asyncio
from typing import Final

import structlog

from lorapool_api.kinds.runtime import Device
from lorapool_api.wire.headers import stages_of
from lorapool_gateway.cluster.directory import Directory
from lorapool_gateway.cluster.snapshot import Snapshot
from lorapool_gateway.errors import NoPodReady
from lorapool_gateway.metrics import Metrics
from lorapool_gateway.routing.request import ImageRequest, ResolvedRequest
from lorapool_gateway.routing.resolve import resolve
from lorapool_gateway.serve.proxy import Proxy, ServedReply

log = structlog.get_logger(__name__)

SYNC_S: Final = 10.0


class ImageService:
    """Makes images for requests that name models."""

    def __init__(
        self, directory: Directory, synced: asyncio.Event, proxy: Proxy, metrics: Metrics, sync_s: float = SYNC_S
    ) -> None:
        """
        Args:
            synced: set when everything has been read once; it is waited for, `sync_s` at most.
        """
        self._directory = directory
        self._synced = synced
        self._proxy = proxy
        self._metrics = metrics
        self._sync_s = sync_s

    async def snapshot(self) -> Snapshot:
        """What exists, once it has been read. Raises: NoPodReady, of a gateway that has just started."""
        try:
            async with asyncio.timeout(self._sync_s):
                await self._synced.wait()
        except TimeoutError:
            raise NoPodReady("the gateway has just started and has not reached the API server yet") from None
        return self._directory.snapshot()

    async def resolve(self, request: ImageRequest, pool: str | None) -> ResolvedRequest:
        """The request to a pool's pods; `pool` names one that all of it must be in. Raises: GatewayError."""
        return resolve(request, await self.snapshot(), pool)

    async def generate(self, request: ResolvedRequest) -> ServedReply:
        """Make the images. Raises: GatewayError."""
        served = await self._proxy.generate(request)
        for stage, seconds in stages(served):
            self._metrics.took(request.pool, stage, seconds)
        log.info(
            "images made",
            pool=request.pool,
            adapters=request.adapters,
            pod=served.reply.pod,
            total_s=served.total_s,
        )
        return served

    def device(self, pool: str) -> Device:
        """Where the base model of the pool lives."""
        known = self._directory.snapshot().pools.get(pool)
        return known.spec.runtime.device if known else Device.CUDA


def stages(served: ServedReply) -> tuple[tuple[str, float], ...]:
    """Where the time went, in seconds, in the order in which it passed."""
    return (("wait", served.wait_s), *stages_of(served.reply.timings), ("total", served.total_s))
