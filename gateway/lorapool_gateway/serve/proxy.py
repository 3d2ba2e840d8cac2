"""Holds a request until a pod can take it, gives it to the best one, and to another when that one fails."""

import asyncio
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from typing import Final, Protocol

from lorapool_api.kinds.conditions import PoolCondition, Subject, find, traits
from lorapool_api.kinds.pool import Pool
from lorapool_api.kinds.serving import Serving
from lorapool_api.wire.reply import GenerateReply
from lorapool_api.wire.request import GenerateRequest
from lorapool_gateway.cluster.directory import Directory
from lorapool_gateway.cluster.snapshot import RuntimePod
from lorapool_gateway.errors import AdapterUnavailable, Busy, GatewayError, NoPodReady, TimedOut, UnknownModel
from lorapool_gateway.held import WaitingRequests
from lorapool_gateway.metrics import Metrics
from lorapool_gateway.pods.attempts import Attempts, Cause, FailedAttempt, judge
from lorapool_gateway.pods.client import PodError
from lorapool_gateway.pods.images import Image
from lorapool_gateway.pods.load import Loads
from lorapool_gateway.routing.limits import check
from lorapool_gateway.routing.resolve import Stack, uses
from lorapool_gateway.routing.route import pick_pod

# Before a pod is asked again whether it has the adapter now, unless something changes before.
FIRST_PAUSE_S: Final = 0.25
LONGEST_PAUSE_S: Final = 2.0
# How long a request is held for an adapter that is on its way. For pods it is held as long as the pool allows.
ADAPTER_HOLD_S: Final = 30.0
# Of an encoded image: no format that is served takes more than four bytes for a pixel, base64 a third more.
_PIXEL_BYTES: Final = 6
_REPLY_BYTES: Final = 1 << 20


class Renders(Protocol):
    """Has images made by pods; raises `PodError`."""

    async def generate(
        self, pod: RuntimePod, request: GenerateRequest, max_bytes: int
    ) -> tuple[GenerateReply, tuple[Image, ...]]: ...


@dataclass(frozen=True)
class ServedReply:
    """A pod's reply, its images apart, and how long the request was held and passed around before that pod got it."""

    stack: Stack
    reply: GenerateReply
    images: tuple[Image, ...]
    wait_s: float
    total_s: float


@dataclass
class _Held:
    """A request on its way."""

    stack: Stack
    request: GenerateRequest
    max_bytes: int
    began: float
    obstacle: GatewayError | None = None
    attempts: Attempts = field(default_factory=Attempts)
    pauses: int = 0


class Proxy:
    """Serves requests whose stack is known."""

    def __init__(
        self,
        directory: Directory,
        loads: Loads,
        pods: Renders,
        metrics: Metrics,
        refresh: Callable[[RuntimePod], None] = lambda pod: None,
        adapter_hold_s: float = ADAPTER_HOLD_S,
    ) -> None:
        self._directory = directory
        self._loads = loads
        self._client = pods
        self._metrics = metrics
        self._refresh = refresh
        self._adapter_hold_s = adapter_hold_s
        self._waiting = WaitingRequests()

    async def generate(self, stack: Stack, request: GenerateRequest) -> ServedReply:
        """Make the images; raises a `GatewayError` within the time that the pool gives a request."""
        pool = self._pool(stack.pool)
        check(request, pool.spec.serving)
        held = _Held(stack, request, _most_bytes(request, pool.spec.serving), asyncio.get_running_loop().time())
        timeout_s = pool.spec.serving.request_timeout_seconds
        try:
            async with asyncio.timeout(timeout_s):
                return await self._serve(held)
        except TimeoutError:
            raise held.obstacle or TimedOut(f"no image within the {timeout_s} s of pool {stack.pool}") from None

    async def _serve(self, held: _Held) -> ServedReply:
        loop = asyncio.get_running_loop()
        while True:
            with self._metrics.waiting(held.stack.pool):
                pod, ready = await self._hold(held)
            sent = loop.time()
            try:
                with self._metrics.running(pod.pool), self._loads.request(pod):
                    reply, images = await self._client.generate(pod, ready, held.max_bytes)
            except PodError as error:
                await self._after(judge(error, pod), pod, held)
            else:
                self._loads.succeeded(pod)
                return ServedReply(held.stack, reply, images, sent - held.began, loop.time() - held.began)
            finally:
                self._refresh(pod)

    async def _hold(self, held: _Held) -> tuple[RuntimePod, GenerateRequest]:
        """Wait until the adapters are served and a pod is ready; the pod, and the request with their sha256."""
        with ExitStack() as place:
            while True:
                changed = self._directory.changed.next()
                try:
                    ready = held.request.model_copy(update={"adapters": uses(held.stack, self._directory.snapshot())})
                    pod = self._pick(held)
                except (AdapterUnavailable, NoPodReady) as obstacle:
                    if not obstacle.transient:
                        raise
                    if held.obstacle is None:
                        place.enter_context(self._waiting.place(held.stack.pool, self._most_waiting(held.stack.pool)))
                    held.obstacle = obstacle
                    await self._next_change(changed, obstacle, held.began)
                else:
                    held.obstacle = None
                    return pod, ready

    def _most_waiting(self, key: str) -> int:
        """As many as the pool's pods would let wait, those that are still to come too."""
        pool = self._pool(key)
        pods = max(1, pool.spec.replicas, len(self._directory.snapshot().pods_of(key)))
        return pods * pool.spec.serving.max_pending

    async def _next_change(self, changed: asyncio.Event, obstacle: GatewayError, began: float) -> None:
        """Wait; raise the obstacle when the adapter's time is up."""
        if isinstance(obstacle, NoPodReady) or (
            isinstance(obstacle, AdapterUnavailable) and traits(obstacle.reason).subject is Subject.PODS
        ):
            await changed.wait()
            return
        try:
            async with asyncio.timeout_at(began + self._adapter_hold_s):
                await changed.wait()
        except TimeoutError:
            raise obstacle from None

    def _pick(self, held: _Held) -> RuntimePod:
        """The best pod for the next try. Raises: NoPodReady, Busy, or why the last try failed where no pod is left."""
        pods = self._directory.snapshot().pods_of(held.stack.pool)
        loads = [load for pod in pods if (load := self._loads.of(pod))]
        left = [load for load in loads if load.pod.uid not in held.attempts.broken_by]
        if loads and not left and held.attempts.last:
            raise held.attempts.last.error
        picked = pick_pod(left, held.stack.keys, held.attempts.refused_by)
        if picked is None:
            raise NoPodReady(f"no pod of pool {held.stack.pool} is ready{self._why(held.stack.pool)}")
        if picked.is_full:
            raise Busy(f"pool {held.stack.pool} is busy: as many requests wait as may in each of its {len(left)} pods")
        return picked.pod

    async def _after(self, outcome: FailedAttempt | GatewayError, pod: RuntimePod, held: _Held) -> None:
        """Tell the loads; raise when the request has been tried often enough, else wait until it may be tried again."""
        if isinstance(outcome, GatewayError):
            raise outcome
        self._note(outcome.cause, pod)
        held.attempts.failed(outcome, pod)
        self._metrics.retried(held.stack.pool, outcome.cause.value)
        if outcome.cause is Cause.ADAPTER and not self._others(pod, held):
            await self._pause(held, outcome.error)

    def _note(self, cause: Cause, pod: RuntimePod) -> None:
        match cause:
            case Cause.FULL:
                self._loads.full(pod)
            case Cause.AWAY:
                self._loads.lost(pod)
            case Cause.LOST:
                self._loads.lost(pod)
                self._loads.failed(pod)
            case Cause.BROKEN:
                self._loads.failed(pod)

    def _others(self, pod: RuntimePod, held: _Held) -> bool:
        """Whether a ready pod is left that has not refused the request."""
        pods = self._directory.snapshot().pods_of(pod.pool)
        return any(self._loads.of(p) for p in pods if p.uid not in held.attempts.refused_by)

    async def _pause(self, held: _Held, error: GatewayError) -> None:
        """Wait for a change, or a little; raise the error when the adapter's time is up."""
        loop = asyncio.get_running_loop()
        left_s = held.began + self._adapter_hold_s - loop.time()
        if left_s <= 0:
            raise error
        changed = self._directory.changed.next()
        pause_s = min(left_s, LONGEST_PAUSE_S, FIRST_PAUSE_S * 2.0 ** min(held.pauses, 10))
        held.pauses += 1
        with self._waiting.place(held.stack.pool, self._most_waiting(held.stack.pool)), suppress(TimeoutError):
            async with asyncio.timeout(pause_s):
                await changed.wait()
        held.attempts.refused_by.clear()

    def _pool(self, key: str) -> Pool:
        pool = self._directory.snapshot().pools.get(key)
        if pool is None:
            raise UnknownModel(key)
        return pool

    def _why(self, key: str) -> str:
        pool = self._directory.snapshot().pools.get(key)
        ready = find(pool.status.conditions, PoolCondition.READY) if pool else None
        return f" ({ready.reason}: {ready.message})" if ready and not ready.is_true else ""


def _most_bytes(request: GenerateRequest, serving: Serving) -> int:
    """What a pod's answer to the request may take."""
    return request.images * serving.limits.pixels * _PIXEL_BYTES + _REPLY_BYTES
