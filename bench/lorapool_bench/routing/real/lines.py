"""What a line of a pod's state costs either side, of a pod whose queue is full of requests of several callers."""

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

from lorapool_api.wire.state import ServingCosts, ServingStatus, Tier
from lorapool_bench.routing.pod import FACTS, MAX_PENDING, RECIPE
from lorapool_bench.routing.real.result import LineCosts
from lorapool_bench.routing.trace import keys
from lorapool_common.changes import Changes
from lorapool_gateway.cluster.snapshot import RuntimePod
from lorapool_gateway.pods.load import Loads
from lorapool_gateway.pods.status_lines import statuses
from lorapool_runtime.adapters.file import AdapterFile, ScaledAdapter
from lorapool_runtime.app.load.backlog import backlog, request_s
from lorapool_runtime.engine.contract import RenderRequest
from lorapool_runtime.http.status_stream import is_same, sliced
from lorapool_runtime.queue.entry import Outcome, QueueEntry, QueueLoad
from lorapool_runtime.queue.fair.shares import FairShares
from lorapool_runtime.queue.fair.terms import QueueTerms

_LINES: Final = 300
_CALLERS: Final = 16
_COSTS: Final = ServingCosts(
    step_s={"unmerged": 0.33, "none": 0.3},
    image_s=0.25,
    switch_s={"unmerged": 0.05},
    load_s={"disk": 0.1, "host": 0.03},
)


async def line_costs() -> LineCosts:
    """CPU of this process for a line that says what changed: a request came, an adapter moved.

    Raises: RuntimeError where the pod would not have said it.
    """
    waiting, shares = _queue(), FairShares()
    last = _status(waiting[:-1], shares, 0).model_copy(update={"tiers": dict.fromkeys(keys(), Tier.HOST)})
    chunks, began_s = [], time.process_time()
    for number in range(_LINES):
        status = _status(waiting, shares, number + 1)
        if is_same(last, status, elapsed_s=0.05):
            raise RuntimeError("what has changed counts as nothing")
        chunks.append(b"".join(sliced(status)))
    pod_s = (time.process_time() - began_s) / _LINES

    async def received() -> AsyncIterator[bytes]:
        for chunk in chunks:
            yield chunk

    pod, loads, taken = RuntimePod("a", "a", "default/sdxl", "a"), Loads(Changes()), 0
    began_s = time.process_time()
    async for news in statuses(received(), last, rest_s=0.0):
        if news is not None:
            loads.update(pod, news)
            taken += 1
    gateway_s = (time.process_time() - began_s) / taken
    return LineCosts(
        waiting=len(waiting), callers=_CALLERS, size_bytes=len(chunks[0]), pod_s=pod_s, gateway_s=gateway_s
    )


def _queue() -> list[QueueEntry]:
    answer: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
    return [
        QueueEntry(
            RenderRequest(RECIPE, (ScaledAdapter(AdapterFile(Path(key), key, FACTS), 1.0, key),)),
            float(number), 1e9, answer, terms=QueueTerms(f"key-{number % _CALLERS}"),
        )
        for number, key in enumerate(keys()[:MAX_PENDING])
    ]  # fmt: skip


def _status(waiting: list[QueueEntry], shares: FairShares, version: int) -> ServingStatus:
    """What `StatusReporter` says, by the same parts."""
    cost_s = {entry: request_s(entry, _COSTS) for entry in waiting}.__getitem__
    due = shares.due_before(shares.ranked(waiting, 100.0, cost_s), cost_s)
    load = QueueLoad(waiting, [], 0.0, waiting[0].keys, due)
    return ServingStatus(
        instance="i", digest="d", ready=True, pending=len(waiting), running=0, max_pending=MAX_PENDING,
        version=version, complete=False, tiers={waiting[0].keys[0]: Tier.DEVICE}, costs=_COSTS,
        backlog=backlog(load, _COSTS),
    )  # fmt: skip
