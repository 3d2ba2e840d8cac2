"""Holds a request until it can be tried: its adapters are served, and a pod is ready for it."""

import asyncio
from collections.abc import Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field, replace
from typing import Final

from lorapool_api.kinds.conditions import PoolCondition, Subject, find, traits
from lorapool_api.kinds.pool import Pool
from lorapool_api.wire.request import GenerateRequest
from lorapool_api.wire.weighting.scale import Weighting
from lorapool_common.backoff import Backoff
from lorapool_gateway.cluster.directory import Directory
from lorapool_gateway.cluster.snapshot import RuntimePod
from lorapool_gateway.errors import AdapterUnavailable, BadRequest, Busy, GatewayError, NoPodReady, UnknownModel
from lorapool_gateway.held import WaitingRequests
from lorapool_gateway.pods.attempts import Attempts
from lorapool_gateway.pods.events import OnStep
from lorapool_gateway.pods.load import Loads
from lorapool_gateway.routing.costs.load import USUAL_WORK, PodLoad, Work, work_of
from lorapool_gateway.routing.costs.model import shortest_wait_s
from lorapool_gateway.routing.moved import at_its_pool
from lorapool_gateway.routing.request import ResolvedRequest
from lorapool_gateway.routing.resolve import with_files
from lorapool_gateway.routing.route import ChoosePod, pick_pod
from lorapool_gateway.serve.demand import RequestCounts

# How long a request is held for an adapter that is on its way. For pods it is held as long as the pool allows.
ADAPTER_HOLD_S: Final = 30.0
# Before a pod is asked again whether it has the adapter now, unless something changes before.
FIRST_PAUSE_S: Final = 0.25
_LONGEST_PAUSE_S: Final = 2.0
# Clients that are told more try at their own pace.
_MOST_RETRY_AFTER_S: Final = 60.0
# What is known may be that old, and all who were refused come at once.
_LEAST_RETRY_AFTER_S: Final = 2.0


@dataclass
class InFlight:
    """A request on its way.

    Attributes:
        request: to the pool that serves its adapters now.
        began: when it came, by the clock of the event loop.
        ends: by the same clock, when its caller wants it no more; None: as the pool has it.
        on_step: is told the steps of each try; None: nobody wants them.
        work: what it is, for the pod that it goes to.
        obstacle: what it is held for; None while it is not held.
        backoff: of the waits for a pod to get an adapter; None before the first.
    """

    request: ResolvedRequest
    began: float
    on_step: OnStep | None = None
    work: Work = USUAL_WORK
    obstacle: GatewayError | None = None
    attempts: Attempts = field(default_factory=Attempts)
    backoff: Backoff | None = None
    ends: float | None = None

    @property
    def pool(self) -> str:
        return self.request.pool


class Hold:
    """Where requests wait, no more for a pool than its pods would let wait."""

    def __init__(
        self,
        directory: Directory,
        loads: Loads,
        counts: RequestCounts,
        adapter_hold_s: float = ADAPTER_HOLD_S,
        first_pause_s: float = FIRST_PAUSE_S,
        choose: ChoosePod = pick_pod,
    ) -> None:
        """`counts` is told of the requests that no pod is ready for."""
        self._choose = choose
        self._directory = directory
        self._loads = loads
        self._counts = counts
        self._adapter_hold_s = adapter_hold_s
        self._first_pause_s = first_pause_s
        self._waiting = WaitingRequests()

    async def pod_for(self, flight: InFlight) -> tuple[RuntimePod, GenerateRequest]:
        """Wait until the adapters are served and a pod is ready; the pod, and the request with their sha256.

        Raises:
            GatewayError: what waiting does not help against, or has not helped against for too long.
        """
        with ExitStack() as place:
            wants_pod = False
            while True:
                seen = self._directory.changes.version
                try:
                    snapshot = self._directory.snapshot()
                    flight.request = at_its_pool(flight.request, snapshot)
                    ready = with_files(flight.request.generate, snapshot, flight.request.draw)
                    pod = self._pick(flight, ready)
                except (AdapterUnavailable, NoPodReady) as error:
                    if not error.transient:
                        raise
                    if flight.obstacle is None:
                        place.enter_context(self._place(flight))
                    if not wants_pod and _is_about_pods(error):
                        wants_pod = True
                        place.enter_context(self._counts.waiting(flight.pool))
                    flight.obstacle = error
                    await self._next_change(seen, error, flight.began)
                else:
                    flight.obstacle = None
                    return pod, ready

    async def pause(self, flight: InFlight, error: GatewayError) -> None:
        """Wait for a change, or a little. Raises: the error, when the adapter's time is up; Busy."""
        left_s = flight.began + self._adapter_hold_s - asyncio.get_running_loop().time()
        if left_s <= 0:
            raise error
        seen = self._directory.changes.version
        flight.backoff = flight.backoff or Backoff(self._first_pause_s, _LONGEST_PAUSE_S)
        pause_s = min(left_s, flight.backoff.next())
        with self._place(flight):
            await self._directory.changes.beyond(seen, pause_s)
        flight.attempts.refused_by.clear()

    def has_other(self, pod: RuntimePod, flight: InFlight) -> bool:
        """Whether a ready pod is left that has not refused the request."""
        pods = self._directory.snapshot().pods_of(pod.pool)
        return any(self._loads.of(p) for p in pods if p.uid not in flight.attempts.refused_by)

    def pool(self, key: str) -> Pool:
        """Raises: UnknownModel."""
        pool = self._directory.snapshot().pools.get(key)
        if pool is None:
            raise UnknownModel(key)
        return pool

    def _place(self, flight: InFlight) -> AbstractContextManager[None]:
        """One of as many as the pool's pods would let wait, those that are still to come too. Raises: Busy."""
        key = flight.pool
        pool = self.pool(key)
        pods = max(1, pool.spec.most_replicas, len(self._directory.snapshot().pods_of(key)))
        return self._waiting.place(key, pods * pool.spec.serving.max_pending, flight.request.terms.caller)

    async def _next_change(self, seen: int, obstacle: GatewayError, began: float) -> None:
        """Wait; raise the obstacle when the adapter's time is up."""
        if _is_about_pods(obstacle):
            await self._directory.changes.beyond(seen)
            return
        try:
            async with asyncio.timeout_at(began + self._adapter_hold_s):
                await self._directory.changes.beyond(seen)
        except TimeoutError:
            raise obstacle from None

    def _pick(self, flight: InFlight, ready: GenerateRequest) -> RuntimePod:
        """The best pod for the next try. Raises: NoPodReady, Busy, or why the last try failed where no pod is left."""
        pods = self._directory.snapshot().pods_of(flight.pool)
        loads = self._loads.of_pods(pods)
        if loads and any(isinstance(use.scale, Weighting) for use in ready.adapters):
            loads = self._that_weigh(loads, flight.pool)
        left = [load for load in loads if load.pod.uid not in flight.attempts.broken_by]
        if loads and not left and flight.attempts.last:
            raise flight.attempts.last.error
        flight.work, caller = self._work(flight.pool, ready), flight.request.terms.caller
        if caller:
            flight.work = replace(flight.work, caller=caller)
        picked = self._choose(left, flight.work, flight.attempts.refused_by)
        if picked is None:
            raise NoPodReady(f"no pod of pool {flight.pool} is ready{self._why(flight.pool)}")
        if picked.is_full and not flight.request.may_displace:
            raise Busy(f"pool {flight.pool} is busy: as many requests wait as may in each of its {len(left)} pods")
        return picked.pod

    def _that_weigh(self, loads: Sequence[PodLoad], pool: str) -> list[PodLoad]:
        """Those that know scales by step, block and text encoder. Raises: BadRequest: none of them does."""
        statuses = ((load, self._loads.last_status(load.pod)) for load in loads)
        found = [load for load, status in statuses if status is not None and status.reads_weightings]
        if not found:
            why = f"the pods of pool {pool} are of an earlier version, which knows scales that are one number alone"
            raise BadRequest(f"{why}: leave out blocks, text_encoder_scale and scales by step", param="loras")
        return found

    def retry_after_s(self, flight: InFlight) -> float | None:
        """When another try is worth it: half of what waits in the pool's first pod to be free is made by then; where
        no pod is ready, a cold start has passed. None: nothing is known."""
        loads = self._loads.of_pods(self._directory.snapshot().pods_of(flight.pool))
        wait_s = shortest_wait_s(loads, flight.request.terms.caller)
        pool = self._directory.snapshot().pools.get(flight.pool)
        after_s = wait_s / 2 if wait_s is not None else pool.status.last_cold_start_seconds if pool else None
        return None if after_s is None else min(_MOST_RETRY_AFTER_S, max(_LEAST_RETRY_AFTER_S, after_s))

    def _work(self, key: str, ready: GenerateRequest) -> Work:
        pool = self._directory.snapshot().pools.get(key)
        return work_of(ready, pool.spec.serving) if pool else USUAL_WORK

    def _why(self, key: str) -> str:
        pool = self._directory.snapshot().pools.get(key)
        ready = find(pool.status.conditions, PoolCondition.READY) if pool else None
        return f" ({ready.reason}: {ready.message})" if ready and not ready.is_true else ""


def _is_about_pods(obstacle: GatewayError) -> bool:
    """Whether a pod that becomes ready ends it."""
    return isinstance(obstacle, NoPodReady) or (
        isinstance(obstacle, AdapterUnavailable) and traits(obstacle.reason).subject is Subject.PODS
    )
