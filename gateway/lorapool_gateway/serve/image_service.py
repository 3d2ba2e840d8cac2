"""One request for images from its names to its answer, whatever the dialect."""

import asyncio
import secrets
import time
from dataclasses import replace
from typing import Final

import structlog

from lorapool_api.kinds.conditions import Reason
from lorapool_api.kinds.images.urls import ImageUrls
from lorapool_api.kinds.runtime import Device
from lorapool_api.wire.headers import stages_of, timeline_of
from lorapool_gateway.callers.caller import ANYONE, Caller
from lorapool_gateway.cluster.directory import Directory
from lorapool_gateway.cluster.snapshot import Snapshot
from lorapool_gateway.errors import AdapterUnavailable, NoPodReady, NotOnTheHub
from lorapool_gateway.metrics import Metrics
from lorapool_gateway.pods.events import OnStep
from lorapool_gateway.routing.request import ImageRequest, ResolvedRequest
from lorapool_gateway.routing.resolve import resolve
from lorapool_gateway.serve.lookups import Lookups
from lorapool_gateway.serve.proxy import Proxy, ServedReply

log = structlog.get_logger(__name__)

SYNC_S: Final = 10.0


class ImageService:
    """Makes images for requests that name models."""

    def __init__(
        self,
        directory: Directory,
        synced: asyncio.Event,
        proxy: Proxy,
        metrics: Metrics,
        sync_s: float = SYNC_S,
        lookups: Lookups | None = None,
    ) -> None:
        """
        Args:
            synced: set when everything has been read once; it is waited for, `sync_s` at most.
            lookups: bounds the repositories that nobody declared.
        """
        self._lookups = lookups or Lookups(time.monotonic)
        self._directory = directory
        self._synced = synced
        self._proxy = proxy
        self._metrics = metrics
        self._sync_s = sync_s

    async def snapshot(self) -> Snapshot:
        """What exists, once it has been read. Raises: NoPodReady, of a gateway that has just started."""
        if self._synced.is_set():
            return self._directory.snapshot()
        try:
            async with asyncio.timeout(self._sync_s):
                await self._synced.wait()
        except TimeoutError:
            raise NoPodReady("the gateway has just started and has not reached the API server yet") from None
        return self._directory.snapshot()

    async def resolve(self, request: ImageRequest, pool: str | None, caller: Caller = ANYONE) -> ResolvedRequest:
        """The request to a pool's pods; `pool` names one that all of it must be in. Raises: GatewayError."""
        return resolve(request, await self.snapshot(), pool, caller.scope)

    async def generate(
        self, request: ResolvedRequest, caller: Caller = ANYONE, on_step: OnStep | None = None
    ) -> ServedReply:
        """Make the images. `caller` says who asks, `on_step` is told the steps. Raises: GatewayError."""
        drawn = request.drawn(caller.id, secrets.token_bytes(16))
        if request.undeclared:
            served = await self._generate_undeclared(drawn, caller.id, on_step)
        else:
            served = await self._proxy.generate(drawn, on_step)
        # The answer leaves in the event loop's next turn, and a client that has it finds it counted: in the one after.
        loop = asyncio.get_running_loop()
        loop.call_soon(loop.call_soon, self._note, request, served)
        return served

    def _note(self, request: ResolvedRequest, served: ServedReply) -> None:
        """Count where the time went, and log it."""
        self._metrics.took(served.pool, (*_around(served), *timeline_of(served.reply.timings)))
        log.info(
            "images made",
            pool=served.pool,
            adapters=request.adapters,
            pod=served.reply.pod,
            total_s=served.total_s,
        )

    async def _generate_undeclared(
        self, request: ResolvedRequest, caller: bytes, on_step: OnStep | None
    ) -> ServedReply:
        """By the first of the pools that holds the base of the card. Raises: GatewayError."""
        repos = request.undeclared
        self._lookups.admit(caller, repos)
        *others, last = self._lookups.first(repos, (request.pool, *request.other_pools))
        for pool in others:
            try:
                return await self._generate_in(pool, request, on_step)
            except AdapterUnavailable as error:
                if error.reason is not Reason.BASE_MODEL_MISMATCH:
                    raise
        return await self._generate_in(last, request, on_step)

    async def _generate_in(self, pool: str, request: ResolvedRequest, on_step: OnStep | None) -> ServedReply:
        repos = request.undeclared
        try:
            served = await self._proxy.generate(replace(request, pool=pool, other_pools=()), on_step)
        except AdapterUnavailable as error:
            if error.reason is Reason.SOURCE_NOT_FOUND:
                raise NotOnTheHub(repos, error.message) from error
            raise
        self._lookups.served(repos, pool)
        return served

    def image_urls(self, pool: str) -> ImageUrls:
        """What an image's URL is in the replies of the pool."""
        known = self._directory.snapshot().pools.get(pool)
        return (known.spec.serving.image_urls if known else None) or ImageUrls.GATEWAY

    def device(self, pool: str) -> Device:
        """Where the base model of the pool lives."""
        known = self._directory.snapshot().pools.get(pool)
        return known.spec.runtime.device if known else Device.CUDA


def stages(served: ServedReply) -> tuple[tuple[str, float], ...]:
    """Where the time went, in seconds, in the order in which it passed."""
    wait, total = _around(served)
    return (wait, *stages_of(served.reply.timings), total)


def _around(served: ServedReply) -> tuple[tuple[str, float], tuple[str, float]]:
    """What the gateway measures itself."""
    return ("wait", served.wait_s), ("total", served.total_s)
