"""`make bench-gateway`: what the gateway adds to a request beside nginx and LiteLLM, what it costs, what it holds, and
how fast it refuses.
"""

import argparse
import asyncio
import time
from pathlib import Path
from statistics import median
from typing import Final

from lorapool_bench.gateway import plot as plot_gateway
from lorapool_bench.gateway.load import burst, held, latency, steady
from lorapool_bench.gateway.peers import peer_versions
from lorapool_bench.gateway.place import Endpoint, ProxySetup, ReverseProxy, place
from lorapool_bench.gateway.result import Burst, GatewayResult, HeldBodies, Latency, Level
from lorapool_bench.measure import command
from lorapool_bench.measure.machine import machine, versions
from lorapool_bench.measure.progress import steps
from lorapool_bench.measure.result import RESULTS, today

# Of the pod that only waits, by requests in flight: how many begin in a second, and for how many seconds they count.
_LEVELS: Final = {1: (100, 3.0), 100: (100, 4.0), 1000: (200, 2.0)}
# One that takes less than that is asked for less, and not with so many in flight.
_SLOW_PER_SECOND: Final = 20
_SLOW_IN_FLIGHT: Final = 100
_STUB_S: Final = 2.0
# A burst on a pod that takes 0.18 s for an image and lets 64 wait.
_BURST: Final = 300
_STEP_MILLISECONDS: Final = 45
_BURST_STEPS: Final = 4
# Requests with large bodies that are all there before the first has its answer.
_HELD: Final = 100
_HELD_BYTES: Final = 10_000_000
_HELD_S: Final = 6.0
_SAMPLED_S: Final = 0.1
_OK, _BUSY = 200, 429


async def _level(
    way: ReverseProxy, pods: str, in_flight: int, seconds: float, takes_s: float, straight: Latency
) -> Level:
    before_s = way.processes.cpu_s
    passed = await steady(way.through, in_flight, seconds, takes_s)
    # Those that do not count were worked for too.
    worked_for = len(passed) + (in_flight if takes_s else 1)
    return Level(
        pods=pods,
        way=way.name,
        in_flight=in_flight,
        takes_s=takes_s,
        straight=straight,
        through=latency(passed),
        cpu_s=(way.processes.cpu_s - before_s) / worked_for,
    )


async def _levels(at: ProxySetup, in_flight: int, per_second: int, seconds: float) -> list[Level]:
    """Each proxy, and the pod itself by what each of them asks of it, once."""
    straight: dict[tuple[Endpoint, float], Latency] = {}
    levels = []
    for proxy in at.proxies:
        if proxy.is_slow and in_flight > _SLOW_IN_FLIGHT:
            continue
        takes_s = in_flight / (_SLOW_PER_SECOND if proxy.is_slow else per_second)
        key = (proxy.straight, takes_s)
        if key not in straight:
            straight[key] = latency(await steady(proxy.straight, in_flight, seconds, takes_s))
        levels.append(await _level(proxy, "a pod that only waits", in_flight, seconds, takes_s, straight[key]))
    return levels


async def _held(way: ReverseProxy) -> HeldBodies:
    before = way.processes.memory_bytes
    most, over = before, asyncio.Event()

    async def sample() -> None:
        nonlocal most
        while not over.is_set():
            most = max(most, way.processes.memory_bytes)
            await asyncio.sleep(_SAMPLED_S)

    sampling = asyncio.create_task(sample())
    answers = await held(way.through, _HELD, _HELD_BYTES, _HELD_S)
    over.set()
    await sampling
    made = sum(answer.status == _OK for answer in answers)
    return HeldBodies(
        way=way.name, requests=_HELD, made=made, body_bytes=_HELD_BYTES, before_bytes=before, most_bytes=most
    )


async def _burst(way: ReverseProxy, name: str) -> Burst:
    before_s = way.processes.cpu_s
    answers = await burst(way.straight if name == "straight" else way.through, _BURST, _BURST_STEPS)
    refused_s = sorted(answer.took_s for answer in answers if answer.status == _BUSY) or [0.0]
    made = sum(answer.status == _OK for answer in answers)
    refused = sum(answer.status == _BUSY for answer in answers)
    return Burst(
        way=name,
        requests=len(answers),
        made=made,
        refused=refused,
        failed=len(answers) - made - refused,
        first_s=refused_s[0],
        p50_s=median(refused_s),
        last_s=refused_s[-1],
        cpu_s=way.processes.cpu_s - before_s if name == "gateway" else 0.0,
    )


async def run() -> GatewayResult:
    """Measure; pods and what stands before them are processes of their own."""
    start = time.monotonic()
    on, versions_ = machine(), versions() | await peer_versions()
    with steps(len(_LEVELS) + 4) as step:
        step("the runtime's stub, 1 in flight")
        async with place("stub") as at:
            proxy = at.proxies[0]
            straight = latency(await steady(proxy.straight, 1, _STUB_S, 0.0))
            levels = [await _level(proxy, "the runtime with its stub engine", 1, _STUB_S, 0.0, straight)]
        step("nginx and LiteLLM start")
        async with place("clock", peers=True) as at:
            for in_flight, (per_second, seconds) in _LEVELS.items():
                step(f"a pod that waits, {in_flight} in flight")
                levels += await _levels(at, in_flight, per_second, seconds)
            step(f"{_HELD} bodies of {_HELD_BYTES / 1e6:g} MB")
            bodies = [await _held(way) for way in at.proxies]
        step(f"{_BURST} at once")
        async with place("stub", "--step-milliseconds", str(_STEP_MILLISECONDS)) as at:
            bursts = [await _burst(at.proxies[0], name) for name in ("straight", "gateway")]
    return GatewayResult(
        measured=today(),
        took_s=time.monotonic() - start,
        machine=on,
        versions=versions_,
        settings={"requests in a second": _LEVELS[1][0]},
        levels=tuple(levels),
        held=tuple(bodies),
        bursts=tuple(bursts),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=RESULTS)
    given = parser.parse_args()
    command.leave(asyncio.run(run()), given.out, "gateway", plot_gateway.draw)


if __name__ == "__main__":
    main()
