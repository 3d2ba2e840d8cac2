"""A pod on a clock that is a number: the runtime's own order, and its own measurements of what it does."""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from lorapool_api.kinds.adapter import AdapterFormat
from lorapool_api.kinds.serving import SchedulerName
from lorapool_api.lora.facts import AdapterFacts
from lorapool_api.lora.modules import file_layout
from lorapool_api.wire.state import ServingStatus, Tier
from lorapool_bench.routing.costs import STEPS, EngineSeconds
from lorapool_runtime.adapters.file import AdapterFile, ScaledAdapter
from lorapool_runtime.app.load.backlog import backlog
from lorapool_runtime.app.load.meter import CostMeter
from lorapool_runtime.engine.contract import Recipe, RenderRequest
from lorapool_runtime.engine.result import Applied, Rendering
from lorapool_runtime.queue.entry import Outcome, QueueEntry, QueueLoad
from lorapool_runtime.queue.policy import DEFAULT_RULES, TimeSlice, pick

MAX_PENDING: Final = 64
RECIPE: Final = Recipe("", "", 1024, 1024, STEPS, 5.0, SchedulerName.EULER, 0, 1)
FACTS: Final = AdapterFacts(AdapterFormat.KOHYA, file_layout((), ()), 1)
# Adapters of 46 MB in 4 GiB of the device: the API's default budget.
ON_DEVICE: Final = 85
PickNext = Callable[[Sequence[QueueEntry], TimeSlice, float], QueueEntry]


def as_the_runtime(waiting: Sequence[QueueEntry], current: TimeSlice, now_s: float) -> QueueEntry:
    return pick(waiting, current, now_s, DEFAULT_RULES)


def first_come(waiting: Sequence[QueueEntry], current: TimeSlice, now_s: float) -> QueueEntry:
    return waiting[0]


@dataclass
class SimulatedRequest:
    """A request in a pod.

    Attributes:
        able_s: when its weights are in host memory.
        fetch_s: of that, until its file was on the disk; 0: it was there.
        switching_s: what the engine did for it before its first step.
    """

    entry: QueueEntry
    adapter: str
    arrived_s: float
    able_s: float
    fetch_s: float = 0.0
    began_s: float = 0.0
    switching_s: float = 0.0
    is_switch: bool = False


class SimulatedPod:
    """One request after the other. Adapters are read while others are made, as the runtime does."""

    def __init__(
        self, name: str, costs: EngineSeconds, order: PickNext, on_disk: set[str], loop: asyncio.AbstractEventLoop
    ) -> None:
        self.name = name
        self._costs = costs
        self._order = order
        self._answer: asyncio.Future[Outcome] = loop.create_future()
        self._tiers: dict[str, Tier] = dict.fromkeys(on_disk, Tier.DISK)
        self._changed: dict[str, Tier | str] = {**self._tiers}
        self._on_device: OrderedDict[str, None] = OrderedDict()
        self._evicted = 0
        self._meter = CostMeter(lambda: self._evicted)
        if on_disk:
            self._meter.file_fetched(costs.load_s[Tier.REMOTE] - costs.load_s[Tier.DISK])
        self._slice = TimeSlice((), 0.0)
        self._active: tuple[str, ...] = ()
        self.waiting: list[SimulatedRequest] = []
        self._on_the_way: list[SimulatedRequest] = []
        self.running: SimulatedRequest | None = None

    def take(self, adapter: str, now_s: float) -> SimulatedRequest | None:
        """The request in the queue; None: the queue is full."""
        if len(self.waiting) >= MAX_PENDING:
            return None
        tier = self._tiers.get(adapter, Tier.REMOTE)
        load_s = self._costs.load_s
        able_s = now_s if tier in (Tier.DEVICE, Tier.HOST) else now_s + load_s[tier] - load_s[Tier.HOST]
        # Whoever else wants it does not read it again.
        able_s = min([able_s, *(other.able_s for other in self.waiting if other.adapter == adapter)])
        stack = (ScaledAdapter(AdapterFile(Path(adapter), adapter, FACTS), 1.0, adapter),)
        entry = QueueEntry(RenderRequest(RECIPE, stack), now_s, now_s + 1e9, self._answer)
        read_s = load_s[Tier.DISK] - load_s[Tier.HOST]
        fetch_s = max(0.0, able_s - now_s - read_s) if tier is Tier.REMOTE else 0.0
        request = SimulatedRequest(entry, adapter, now_s, max(now_s, able_s), fetch_s)
        self.waiting.append(request)
        if able_s > now_s:
            self._on_the_way.append(request)
        return request

    def begin(self, now_s: float) -> SimulatedRequest | None:
        """The next request, if one can begin now; it ends `next_s` later."""
        self._arrive(now_s)
        able = [request for request in self.waiting if request.able_s <= now_s]
        if self.running is not None or not able:
            return None
        entry = self._order([request.entry for request in able], self._slice, now_s)
        request = next(request for request in able if request.entry is entry)
        self.waiting.remove(request)
        request.began_s = now_s
        self._apply(request, now_s)
        self.running = request
        return request

    @property
    def ends_s(self) -> float:
        """When what runs ends, or the first that waits can begin."""
        if self.running is not None:
            return self.running.began_s + self.running.switching_s + self._costs.inference_s
        return min(request.able_s for request in self.waiting)

    def end(self) -> SimulatedRequest:
        """What ran is made."""
        request, self.running = self.running, None
        assert request is not None  # noqa: S101 -- whoever calls knows that one runs
        read_s = request.able_s - request.arrived_s - request.fetch_s
        loads = request.adapter not in self._on_device
        load_s = self._load_s(request)
        self._place(request.adapter)
        rendering = Rendering(
            (), load_s, self._costs.switch_s if request.is_switch else 0.0, self._costs.inference_s,
            applied=Applied.UNMERGED, loads=int(loads),
        )  # fmt: skip
        self._meter.rendered(RECIPE, [request.adapter], Outcome(rendering, request.began_s - request.arrived_s, read_s))
        return request

    def status(self, version: int, now_s: float) -> ServingStatus:
        """What the pod says of itself: what changed since it spoke last."""
        running = [] if self.running is None else [self.running.entry]
        running_s = 0.0 if self.running is None else now_s - self.running.began_s
        load = QueueLoad([request.entry for request in self.waiting], running, running_s, self._active)
        changed, self._changed = self._changed, {}
        return ServingStatus(
            instance=self.name, digest="d", ready=True, pending=len(self.waiting), running=len(running),
            max_pending=MAX_PENDING, version=version, complete=version == 1, tiers=changed, costs=self._meter.costs,
            backlog=backlog(load, self._meter.costs),
        )  # fmt: skip

    def _arrive(self, now_s: float) -> None:
        """Weights that are in host memory by now."""
        for request in [one for one in self._on_the_way if one.able_s <= now_s]:
            self._on_the_way.remove(request)
            if request.fetch_s > 0:
                self._meter.fetched(request.fetch_s)
            if request.adapter not in self._on_device:
                self._moved(request.adapter, Tier.HOST)

    def _apply(self, request: SimulatedRequest, now_s: float) -> None:
        stack = request.entry.stack_id
        request.is_switch = stack != self._slice.stack_id
        if request.is_switch:
            request.switching_s = self._costs.switch_s + self._load_s(request)
            self._slice = TimeSlice(stack, now_s, request.switching_s)
            self._active = (request.adapter,)

    def _load_s(self, request: SimulatedRequest) -> float:
        """To the device; nothing where it was brought there while another was made."""
        is_ahead = request.began_s > request.arrived_s
        return 0.0 if request.adapter in self._on_device or is_ahead else self._costs.load_s[Tier.HOST]

    def _place(self, adapter: str) -> None:
        self._on_device[adapter] = None
        self._on_device.move_to_end(adapter)
        self._moved(adapter, Tier.DEVICE)
        while len(self._on_device) > ON_DEVICE:
            gone, _ = self._on_device.popitem(last=False)
            self._evicted += 1
            self._moved(gone, Tier.HOST)

    def _moved(self, adapter: str, tier: Tier) -> None:
        if self._tiers.get(adapter) is not tier:
            self._tiers[adapter] = self._changed[adapter] = tier
