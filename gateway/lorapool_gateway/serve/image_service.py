"""One request for images from its names to its answer, whatever the dialect."""

import asyncio
from collections.abc import Sequence
from typing import Final

import structlog

from lorapool_api.kinds.runtime import Device
from lorapool_api.wire.headers import stages_of
from lorapool_api.wire.request import GenerateRequest
from lorapool_gateway.cluster.directory import Directory
from lorapool_gateway.cluster.snapshot import Snapshot
from lorapool_gateway.errors import GatewayError, NoPodReady
from lorapool_gateway.metrics import Metrics
from lorapool_gateway.routing.resolve import Lora, resolve
from lorapool_gateway.serve.proxy import Proxy, ServedReply

log = structlog.get_logger(__name__)

SYNC_SECONDS: Final = 10.0


class ImageService:
    """Makes images for requests that name models."""

    def __init__(self, directory: Directory, synced: asyncio.Event, proxy: Proxy, metrics: Metrics) -> None:
        self._directory = directory
        self._synced = synced
        self._proxy = proxy
        self._metrics = metrics

    async def snapshot(self) -> Snapshot:
        """What exists, once it has been read; a gateway that has just started knows nothing yet."""
        try:
            async with asyncio.timeout(SYNC_SECONDS):
                await self._synced.wait()
        except TimeoutError:
            raise NoPodReady("the gateway has just started and has not reached the API server yet") from None
        return self._directory.snapshot()

    async def generate(
        self,
        request: GenerateRequest,
        model: str | None,
        loras: Sequence[Lora],
        pool: str | None,
        prompt_loras: Sequence[Lora] = (),
    ) -> ServedReply:
        """Make the images; raises a `GatewayError`.

        Args:
            prompt_loras: adapters that the prompt named; they are added to the others where the pool allows it.
        """
        stack = resolve(model, loras, await self.snapshot(), pool, prompt_loras)
        try:
            served = await self._proxy.generate(stack, request)
        except GatewayError as error:
            error.pool = stack.pool
            raise
        for stage, seconds in stages(served):
            self._metrics.took(stack.pool, stage, seconds)
        log.info("images made", pool=stack.pool, adapters=stack.keys, pod=served.reply.pod, seconds=served.total_s)
        return served

    def device(self, pool: str) -> Device:
        """Where the base model of the pool lives."""
        known = self._directory.snapshot().pools.get(pool)
        return known.spec.runtime.device if known else Device.CUDA


def stages(served: ServedReply) -> tuple[tuple[str, float], ...]:
    """Where the time went, in seconds, in the order in which it passed."""
    return (("wait", served.wait_s), *stages_of(served.reply.timings), ("total", served.total_s))
