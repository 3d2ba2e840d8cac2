"""Holds a request until a pod can take it, gives it to the best one, and to another when that one fails."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

import httpx
from pydantic import ValidationError

from lorapool_api.conditions import PoolCondition, Reason, find
from lorapool_api.pool import Pool
from lorapool_api.wire.reply import ErrorCode, ErrorReply, GenerateReply
from lorapool_api.wire.request import GenerateRequest
from lorapool_gateway.directory import Directory
from lorapool_gateway.errors import (
    AdapterUnavailable,
    BadRequest,
    Busy,
    GatewayError,
    NoPodReady,
    OutOfMemory,
    PodFailed,
    TimedOut,
    UnknownModel,
)
from lorapool_gateway.limits import check
from lorapool_gateway.load import Loads
from lorapool_gateway.metrics import Metrics
from lorapool_gateway.resolve import Stack, uses
from lorapool_gateway.route import PodLoad, pick_pod
from lorapool_gateway.snapshot import Pod

MAX_ATTEMPTS: Final = 4
# A request that has cost two pods their connection may be what kills them.
MAX_LOST: Final = 2
FIRST_PAUSE_S: Final = 0.25
CONNECT_TIMEOUT_S: Final = 3.0
# How long a request is held for an adapter that is on its way. For pods it is held as long as the pool allows.
ADAPTER_HOLD_S: Final = 30.0
_POD_REASONS = frozenset({Reason.WAITING_FOR_PODS, Reason.STARTING, Reason.ROLLING_OUT})


@dataclass(frozen=True)
class Served:
    """A pod's reply, and how long the request was held and passed around before that pod got it."""

    stack: Stack
    reply: GenerateReply
    wait_s: float
    total_s: float


class _Refused(Exception):
    """A pod did not take the request; another one, or this one later, may."""

    def __init__(self, error: GatewayError, cause: str, *, is_lost: bool = False) -> None:
        super().__init__(error.message)
        self.error = error
        self.cause = cause
        self.is_lost = is_lost


@dataclass
class _Journey:
    """A request on its way."""

    stack: Stack
    began: float
    held_by: GatewayError | None = None
    refused_by: list[str] = field(default_factory=list)
    lost: int = 0


class Proxy:
    """Serves requests whose stack is known."""

    def __init__(
        self,
        directory: Directory,
        loads: Loads,
        http: httpx.AsyncClient,
        metrics: Metrics,
        poke: Callable[[Pod], None] = lambda pod: None,
        adapter_hold_s: float = ADAPTER_HOLD_S,
    ) -> None:
        self._directory = directory
        self._loads = loads
        self._http = http
        self._metrics = metrics
        self._poke = poke
        self._adapter_hold_s = adapter_hold_s

    async def generate(self, stack: Stack, request: GenerateRequest) -> Served:
        """Make the images; raises a `GatewayError` within the time that the pool gives a request."""
        pool = self._pool(stack.pool)
        check(request, pool.spec.serving)
        journey = _Journey(stack, asyncio.get_running_loop().time())
        timeout_s = pool.spec.serving.request_timeout_seconds
        try:
            async with asyncio.timeout(timeout_s):
                return await self._travel(journey, request)
        except TimeoutError:
            raise journey.held_by or TimedOut(f"no image within the {timeout_s} s of pool {stack.pool}") from None

    async def _travel(self, journey: _Journey, request: GenerateRequest) -> Served:
        loop = asyncio.get_running_loop()
        while True:
            with self._metrics.waiting(journey.stack.pool):
                pod, ready = await self._hold(journey, request)
            sent = loop.time()
            try:
                reply = await self._ask(pod, ready)
            except _Refused as refusal:
                await self._after(refusal, pod, journey)
                continue
            return Served(journey.stack, reply, sent - journey.began, loop.time() - journey.began)

    async def _hold(self, journey: _Journey, request: GenerateRequest) -> tuple[Pod, GenerateRequest]:
        """Wait until the adapters are served and a pod is ready; the pod, and the request with their sha256."""
        while True:
            changed = self._directory.changed.next()
            try:
                ready = request.model_copy(update={"adapters": uses(journey.stack, self._directory.snapshot())})
                pod = self._pick(journey).pod
            except (AdapterUnavailable, NoPodReady) as obstacle:
                if not obstacle.transient:
                    raise
                journey.held_by = obstacle
                await self._next_change(changed, obstacle, journey.began)
            else:
                journey.held_by = None
                return pod, ready

    async def _next_change(self, changed: asyncio.Event, obstacle: GatewayError, began: float) -> None:
        """Wait; raise the obstacle when the adapter's time is up."""
        if isinstance(obstacle, NoPodReady) or (
            isinstance(obstacle, AdapterUnavailable) and obstacle.reason in _POD_REASONS
        ):
            await changed.wait()
            return
        try:
            async with asyncio.timeout_at(began + self._adapter_hold_s):
                await changed.wait()
        except TimeoutError:
            raise obstacle from None

    def _pick(self, journey: _Journey) -> PodLoad:
        stack = journey.stack
        pods = self._directory.snapshot().pods_of(stack.pool)
        loads = [load for pod in pods if (load := self._loads.of(pod))]
        picked = pick_pod(loads, stack.keys, journey.refused_by)
        if picked is None:
            raise NoPodReady(f"no pod of pool {stack.pool} is ready{self._why(stack.pool)}")
        return picked

    async def _ask(self, pod: Pod, request: GenerateRequest) -> GenerateReply:
        """The pod's images; `_Refused` where another try may help, else a `GatewayError`."""
        with self._metrics.running(pod.pool), self._loads.request(pod):
            try:
                answer = await self._http.post(
                    f"{pod.url}/v1/generate",
                    content=request.model_dump_json(exclude_none=True),
                    headers={"content-type": "application/json", "accept": "application/json"},
                    timeout=httpx.Timeout(None, connect=CONNECT_TIMEOUT_S),
                )
            except httpx.RequestError as problem:
                self._loads.lost(pod)
                error = PodFailed(f"the connection to pod {pod.name} was lost", transient=True)
                raise _Refused(error, "lost", is_lost=not isinstance(problem, httpx.ConnectError)) from problem
            finally:
                self._poke(pod)
        if answer.status_code == httpx.codes.OK:
            return _images(answer, pod)
        raise _failure(answer, pod)

    async def _after(self, refusal: _Refused, pod: Pod, journey: _Journey) -> None:
        """Raise when the request has been tried often enough; else pause unless another pod is left to try."""
        journey.refused_by.append(pod.uid)
        journey.lost += refusal.is_lost
        if len(journey.refused_by) >= MAX_ATTEMPTS or journey.lost >= MAX_LOST:
            raise refusal.error
        if refusal.cause == ErrorCode.NOT_READY:
            self._loads.lost(pod)
        self._metrics.retried(journey.stack.pool, refusal.cause)
        others = (p for p in self._directory.snapshot().pods_of(pod.pool) if p.uid not in journey.refused_by)
        if not any(self._loads.of(p) for p in others):
            await asyncio.sleep(FIRST_PAUSE_S * 2 ** (len(journey.refused_by) - 1))

    def _pool(self, key: str) -> Pool:
        pool = self._directory.snapshot().pools.get(key)
        if pool is None:
            raise UnknownModel(key)
        return pool

    def _why(self, key: str) -> str:
        pool = self._directory.snapshot().pools.get(key)
        ready = find(pool.status.conditions, PoolCondition.READY) if pool else None
        return f" ({ready.reason}: {ready.message})" if ready and not ready.is_true else ""


def _images(answer: httpx.Response, pod: Pod) -> GenerateReply:
    try:
        return GenerateReply.model_validate_json(answer.content)
    except ValidationError as problem:
        raise PodFailed(f"pod {pod.name} answered what this gateway does not understand") from problem


def _failure(answer: httpx.Response, pod: Pod) -> Exception:
    """What a pod's error means for the request."""
    try:
        reply = ErrorReply.model_validate_json(answer.content)
    except ValidationError:
        return PodFailed(f"pod {pod.name} failed with status {answer.status_code}")
    match reply.code:
        case ErrorCode.INVALID_REQUEST | ErrorCode.TOO_LARGE:
            return BadRequest(reply.message)
        case ErrorCode.TIMEOUT:
            return TimedOut(reply.message)
        case ErrorCode.OUT_OF_MEMORY:
            return OutOfMemory(reply.message)
        case ErrorCode.TOO_MANY_PENDING:
            return _Refused(Busy(f"pool {pod.pool} is busy: {reply.message}"), reply.code)
        case ErrorCode.NOT_READY:
            return _Refused(NoPodReady(f"pod {pod.name} is not ready: {reply.message}"), reply.code)
        case ErrorCode.UNKNOWN_ADAPTER | ErrorCode.ADAPTER_NOT_READY:
            # The operator calls the adapter served, so this pod will have it in a moment.
            return _Refused(_unavailable(reply, pod, transient=True), reply.code)
        case ErrorCode.ADAPTER_FAILED:
            error = _unavailable(reply, pod, transient=reply.retryable)
            return _Refused(error, reply.code) if reply.retryable else error
    failed = PodFailed(f"pod {pod.name} failed: {reply.message}", transient=reply.retryable)
    return _Refused(failed, reply.code) if reply.retryable else failed


def _unavailable(reply: ErrorReply, pod: Pod, *, transient: bool) -> AdapterUnavailable:
    return AdapterUnavailable(f"in pod {pod.name}", reply.reason or Reason.LOADING, reply.message, transient)
