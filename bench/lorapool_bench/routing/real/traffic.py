"""Clients that play a trace: each request at its time, whatever became of those before it."""

import asyncio
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import aiohttp

from lorapool_api import names
from lorapool_api.wire.headers import SERVER_TIMING
from lorapool_bench.routing.costs import STEPS
from lorapool_bench.routing.real.place import SIDE, RealPool
from lorapool_bench.routing.simulation import RoutedRequest
from lorapool_bench.routing.trace import TracedRequest

_STAGE: Final = re.compile(r"(\w+);dur=([\d.]+)")
_OK: Final = 200
# Half of the shortest switch that is pretended is none.
_SWITCHED_S: Final = 0.001


@dataclass(frozen=True)
class Played:
    """What became of the requests of a trace, on the clock of the machine.

    Attributes:
        failed: statuses of those that got no image.
        late_s: by how much the latest was sent too late: the clients had no core.
    """

    served: Sequence[RoutedRequest]
    failed: Sequence[int]
    late_s: float


async def play(trace: Sequence[TracedRequest], pool: RealPool, speed: float) -> Played:
    """Play it so many times as fast; gateways take turns."""
    loop = asyncio.get_running_loop()
    began_s, late_s = loop.time(), 0.0
    served: list[RoutedRequest] = []
    failed: list[int] = []

    async def one(number: int, arrival: TracedRequest) -> None:
        nonlocal late_s
        at_s = began_s + arrival.at_s / speed
        await asyncio.sleep(at_s - loop.time())
        late_s = max(late_s, loop.time() - at_s)
        model = names.split_full_name(arrival.adapter)[1]
        url = f"http://{pool.gateways[number % len(pool.gateways)]}:{names.SERVING_PORT}/models/{model}"
        sent_s = loop.time()
        try:
            async with pool.http.post(url, json=_body(number)) as answer:
                await answer.read()
                status, stages = answer.status, _stages(answer.headers.get(SERVER_TIMING, ""))
        except aiohttp.ClientError:
            status, stages = 0, {}
        if status != _OK:
            failed.append(status)
            return
        switch_s = stages.get("switch", 0.0)
        switching_s, is_switch = switch_s + stages.get("load", 0.0), switch_s > _SWITCHED_S
        served.append(RoutedRequest(stages.get("queue", 0.0), switching_s, is_switch, loop.time() - sent_s))

    async with asyncio.TaskGroup() as group:
        for number, arrival in enumerate(trace):
            group.create_task(one(number, arrival))
    return Played(served, failed, late_s)


def _body(number: int) -> dict[str, Any]:
    return {
        "inputs": "a cat",
        "parameters": {"seed": number, "num_inference_steps": STEPS, "width": SIDE, "height": SIDE},
    }


def _stages(header: str) -> dict[str, float]:
    """Seconds of each stage."""
    return {name: float(ms) / 1000 for name, ms in _STAGE.findall(header)}
