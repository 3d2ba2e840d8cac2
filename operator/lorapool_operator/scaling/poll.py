"""Asks all gateways at once, and remembers for some seconds what each said."""

import asyncio
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Final, Protocol

import structlog

from lorapool_api.wire.gateways.demand import GatewayDemand
from lorapool_operator.decide.scaling.requests import PoolRequests, pool_requests, requests_of_pod
from lorapool_operator.scaling.gateways import GatewayPod, GatewaySilent

log = structlog.get_logger(__name__)

# One answer that is late says nothing; a gateway that is silent for longer may hold requests that nobody knows of.
KEPT_S: Final = 5.0


class AsksGateways(Protocol):
    """Asks a gateway. Raises: GatewaySilent."""

    async def demand(self, pod: GatewayPod) -> GatewayDemand: ...


@dataclass(frozen=True)
class _Answer:
    at_s: float
    said: GatewayDemand


class DemandPoll:
    """What the gateways said last."""

    def __init__(self, client: AsksGateways, clock: Callable[[], float]) -> None:
        self._client = client
        self._clock = clock
        self._answers: dict[str, _Answer] = {}
        self._silent: set[str] = set()
        self._pods: tuple[GatewayPod, ...] = ()

    async def ask(self, pods: Collection[GatewayPod]) -> None:
        """Ask these, which are all that there are."""
        self._pods = tuple(pods)
        await asyncio.gather(*(self._ask(pod) for pod in self._pods))
        since_s, present = self._clock() - KEPT_S, {pod.uid for pod in self._pods}
        self._answers = {u: a for u, a in self._answers.items() if u in present and a.at_s > since_s}
        self._silent &= present

    async def _ask(self, pod: GatewayPod) -> None:
        try:
            said = await self._client.demand(pod)
        except GatewaySilent as error:
            if pod.uid not in self._silent:
                log.info("a gateway does not say how many requests it has", ip=pod.ip, error=str(error))
            self._silent.add(pod.uid)
            return
        self._silent.discard(pod.uid)
        self._answers[pod.uid] = _Answer(self._clock(), said)

    def requests(self, pool: str, pods: Collection[str]) -> PoolRequests:
        """The requests for a pool, with these uids of its pods."""
        counting = [pod.uid for pod in self._pods if pod.takes_requests]
        all_answered = bool(counting) and all(uid in self._answers for uid in counting)
        return pool_requests(self._said, pool, pods, all_answered=all_answered)

    def of_pod(self, uid: str) -> int:
        """The requests that a pod has."""
        return requests_of_pod(self._said, uid)

    @property
    def _said(self) -> list[GatewayDemand]:
        return [answer.said for answer in self._answers.values()]
