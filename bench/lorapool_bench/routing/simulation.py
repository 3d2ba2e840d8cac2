"""A pool behind gateways on a clock that is a number: what gateways know and choose is the gateway's own code."""

import asyncio
import heapq
import math
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from itertools import count
from typing import Final

from lorapool_api.rules.rendezvous import Nodes
from lorapool_api.wire.gateways.stream import REST_S, TICK_S
from lorapool_bench.routing.choices import Choose
from lorapool_bench.routing.costs import STEPS, EngineSeconds
from lorapool_bench.routing.pod import PickNext, SimulatedPod, SimulatedRequest
from lorapool_bench.routing.trace import TracedRequest, keys
from lorapool_common.changes import Changes
from lorapool_gateway.cluster.snapshot import RuntimePod
from lorapool_gateway.pods.load import Loads
from lorapool_gateway.routing.costs.load import Work
from lorapool_runtime.http.status_stream import SETTLE_S

GATEWAYS: Final = 2
# Pods that hold an adapter on their disks before anybody asks for it: the API's default.
_COPIES: Final = 2
POOL: Final = "default/sdxl"


def on_disks(pods: int) -> dict[str, set[str]]:
    """Pods by name, and the adapters that are on the disk of each before anybody asks."""
    nodes = Nodes({f"pod-{number}": 1.0 for number in range(pods)})
    held: dict[str, set[str]] = {f"pod-{number}": set() for number in range(pods)}
    for key in keys():
        for name in nodes.ranked(key, _COPIES):
            held[name].add(key)
    return held


@dataclass(frozen=True)
class RoutedRequest:
    """A request that was served, in seconds.

    Attributes:
        wait_s: until the engine began with it.
        switching_s: what the engine then did before the first step.
    """

    wait_s: float
    switching_s: float
    is_switch: bool
    total_s: float


@dataclass
class _SimulatedClock:
    now_s: float = 0.0

    def __call__(self) -> float:
        return self.now_s


class RoutingSimulation:
    """Pods, gateways that take turns, and a trace."""

    def __init__(self, pods: int, costs: EngineSeconds, order: PickNext, choose: Choose) -> None:
        self._clock, self._choose = _SimulatedClock(), choose
        loop = asyncio.new_event_loop()
        self._pods = {
            RuntimePod(name, name, POOL, name): SimulatedPod(name, costs, order, held, loop)
            for name, held in on_disks(pods).items()
        }
        loop.close()
        self._loads = [Loads(Changes(), self._clock) for _ in range(GATEWAYS)]
        self._versions = dict.fromkeys(self._pods, 0)
        self._in_flight: dict[int, AbstractContextManager[None]] = {}
        self._order = count()
        self._events: list[tuple[float, int, str, object]] = []
        self._speaking: set[RuntimePod] = set()
        self._said_s = dict.fromkeys(self._pods, -1.0)
        self.served: list[RoutedRequest] = []
        self.refused = 0

    def run(self, trace: Sequence[TracedRequest]) -> None:
        """Serve it to its end."""
        for pod in self._pods:
            self._say(pod)
        for number, arrival in enumerate(trace):
            self._at(arrival.at_s, "arrival", (arrival, self._loads[number % GATEWAYS]))
        while self._events:
            self._clock.now_s, _, kind, what = heapq.heappop(self._events)
            match kind, what:
                case "arrival", (TracedRequest() as arrival, Loads() as loads):
                    self._arrive(arrival, loads)
                case "engine", RuntimePod() as pod:
                    self._engine(pod)
                case "status", RuntimePod() as pod:
                    self._speaking.discard(pod)
                    self._say(pod)
                case "early", RuntimePod() as pod:
                    self._say(pod)

    def _arrive(self, arrival: TracedRequest, loads: Loads) -> None:
        now_s = self._clock.now_s
        # Every tick a pod has said that nothing has changed.
        self._clock.now_s = math.floor(now_s / TICK_S) * TICK_S
        for pod in self._pods:
            loads.unchanged(pod)
        self._clock.now_s = now_s
        work = Work((arrival.adapter,), float(STEPS))
        picked = self._choose(loads.of_pods(self._pods), work)
        request = None if picked is None else self._pods[picked.pod].take(arrival.adapter, now_s)
        if picked is None or request is None:
            self.refused += 1
            return
        in_flight = loads.request(picked.pod, work)
        in_flight.__enter__()
        self._in_flight[id(request)] = in_flight
        self._at(max(now_s, request.able_s), "engine", picked.pod)
        self._queued(picked.pod)

    def _engine(self, pod: RuntimePod) -> None:
        simulated, now_s = self._pods[pod], self._clock.now_s
        if simulated.running is not None and simulated.ends_s <= now_s:
            self._made(simulated.end())
            self._changed(pod)
        if simulated.begin(now_s) is not None:
            self._changed(pod)
            self._at(simulated.ends_s, "engine", pod)
        elif simulated.running is None and simulated.waiting:
            self._at(simulated.ends_s, "engine", pod)

    def _made(self, request: SimulatedRequest) -> None:
        self._in_flight.pop(id(request)).__exit__(None, None, None)
        wait_s, total_s = request.began_s - request.arrived_s, self._clock.now_s - request.arrived_s
        self.served.append(RoutedRequest(wait_s, request.switching_s, request.is_switch, total_s))

    def _queued(self, pod: RuntimePod) -> None:
        """It says so at once where its last tick brought nothing; who listens may rest from that tick's line."""
        now_s = self._clock.now_s
        tick = math.floor(now_s / TICK_S)
        at_s = max(now_s + SETTLE_S, tick * TICK_S + REST_S)
        if self._said_s[pod] < tick * TICK_S and at_s < (tick + 1) * TICK_S:
            self._said_s[pod] = at_s
            self._at(at_s, "early", pod)
        else:
            self._changed(pod)

    def _changed(self, pod: RuntimePod) -> None:
        """The pod says so at its next tick."""
        if pod not in self._speaking:
            self._speaking.add(pod)
            self._at((math.floor(self._clock.now_s / TICK_S) + 1) * TICK_S, "status", pod)

    def _say(self, pod: RuntimePod) -> None:
        self._versions[pod] += 1
        self._said_s[pod] = max(self._said_s[pod], self._clock.now_s)
        status = self._pods[pod].status(self._versions[pod], self._clock.now_s)
        for loads in self._loads:
            loads.update(pod, status.after(loads.last_status(pod)))

    def _at(self, at_s: float, kind: str, what: object) -> None:
        heapq.heappush(self._events, (at_s, next(self._order), kind, what))
