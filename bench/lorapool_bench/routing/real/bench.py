"""`make bench-routing-real`: a trace through gateways and pods that are processes, beside what was simulated."""

import argparse
import asyncio
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import quantiles
from typing import Final

from lorapool_api.wire.state import Tier
from lorapool_bench.measure import command
from lorapool_bench.measure.machine import machine, versions
from lorapool_bench.measure.progress import steps
from lorapool_bench.measure.result import RESULTS, read, today
from lorapool_bench.routing import choices
from lorapool_bench.routing.choices import Choose
from lorapool_bench.routing.costs import INFERENCE_S, STEPS, EngineSeconds
from lorapool_bench.routing.figures import one_queue, slower, way_run
from lorapool_bench.routing.pod import as_the_runtime
from lorapool_bench.routing.real import plot
from lorapool_bench.routing.real.lines import line_costs
from lorapool_bench.routing.real.page import NAME
from lorapool_bench.routing.real.place import RealPool, pool
from lorapool_bench.routing.real.result import PodCosts, RealResult, RealRun, StreamCosts
from lorapool_bench.routing.real.traffic import play
from lorapool_bench.routing.result import WayRun
from lorapool_bench.routing.simulation import RoutingSimulation
from lorapool_bench.routing.trace import ADAPTERS, TracedRequest, bursts
from lorapool_gateway.routing.costs.load import FRESH_S

_LOAD: Final = 0.6
_IDLE_S: Final = 4.0
_WAYS: Final[Mapping[str, Choose]] = {
    choices.LORAPOOL: choices.by_cost,
    choices.LEAST: choices.by_load,
    choices.RANDOM: choices.at_random(seed=1),
}


async def _idle(at: RealPool, idle_s: float) -> StreamCosts:
    """What the streams cost while nobody asks."""
    streams = len(at.pods) * len(at.gateways)
    before = at.cpu_s
    await asyncio.sleep(idle_s)
    gateways_s, pods_s = (now - then for now, then in zip(at.cpu_s, before, strict=True))
    return StreamCosts(
        streams=streams,
        idle_pod_s=pods_s / streams / idle_s,
        idle_gateway_s=gateways_s / streams / idle_s,
        line=await line_costs(),
    )


def _simulated(
    way: str, pods: int, trace: Sequence[TracedRequest], speed: float, costs: EngineSeconds
) -> dict[str, WayRun]:
    """The trace on the simulated clock, as fast as it was played, and in its own time."""
    slow = EngineSeconds(
        costs.switch_s * speed, {t: s * speed for t, s in costs.load_s.items()}, costs.inference_s * speed
    )
    return {
        "simulated": _on_the_clock(way, pods, trace, speed, costs),
        "unhurried": _on_the_clock(way, pods, trace, 1.0, slow),
    }


def _on_the_clock(way: str, pods: int, trace: Sequence[TracedRequest], speed: float, costs: EngineSeconds) -> WayRun:
    simulation = RoutingSimulation(pods, costs, as_the_runtime, _WAYS[way])
    simulation.run([TracedRequest(arrival.at_s / speed, arrival.adapter) for arrival in trace])
    return way_run(way, slower(simulation.served, speed), simulation.refused)


def again(before: RealResult) -> RealResult:
    """What was played, beside a simulation of now by the costs that were measured then."""
    costs = EngineSeconds(
        before.costs.switch_s,
        {tier: before.costs.load_s.get(tier, 0.0) for tier in Tier},
        before.costs.inference_s,
    )
    trace = _trace(before.pods, before.seconds * before.speed)
    runs = (
        run.model_copy(update=_simulated(run.played.way, before.pods, trace, before.speed, costs))
        for run in before.runs
    )
    return before.model_copy(update={"runs": tuple(runs)})


def _trace(pods: int, seconds: float) -> list[TracedRequest]:
    return bursts(_LOAD * pods / INFERENCE_S, seconds, seed=pods)


async def played(
    way: str, pods: int, trace: Sequence[TracedRequest], speed: float, idle_s: float
) -> tuple[RealRun, EngineSeconds, StreamCosts]:
    """One way, what the pods have measured, and what telling it costs."""
    async with pool(way, pods, speed) as at:
        stream = await _idle(at, idle_s)
        before, began_s = at.cpu_s, time.monotonic()
        played = await play(trace, at, speed)
        took_s = time.monotonic() - began_s
        after = at.cpu_s
        costs, ages = await at.costs(STEPS), await at.ages()
    run_ = RealRun(
        played=way_run(way, slower(played.served, speed), len(played.failed)),
        **_simulated(way, pods, trace, speed, costs),
        failed=len(played.failed),
        late_s=played.late_s * speed,
        fresh=ages[FRESH_S] / max(ages.values()),
        took_s=took_s,
        gateways_cpu_s=after[0] - before[0],
        pods_cpu_s=after[1] - before[1],
    )
    return run_, costs, stream


def run(
    trace: Sequence[TracedRequest],
    pods: int,
    speed: float,
    ways: Sequence[str],
    seconds: float,
    idle_s: float = _IDLE_S,
) -> RealResult:
    """Play the trace in these ways, of which there is one at least; nobody asks for `idle_s` before it."""
    start, on = time.monotonic(), machine()
    found = []
    with steps(len(ways)) as step:
        for way in ways:
            step(f"{way}: {len(trace)} requests to {pods} pods")
            found.append(asyncio.run(played(way, pods, trace, speed, idle_s)))
    _, costs, stream = found[0]
    return RealResult(
        measured=today(),
        took_s=time.monotonic() - start,
        machine=on,
        versions=versions(),
        settings={"adapters": ADAPTERS, "seconds": seconds},
        pods=pods,
        requests=len(trace),
        speed=speed,
        seconds=seconds,
        load=len(trace) * INFERENCE_S / pods / trace[-1].at_s,
        one_queue_p95_s=quantiles(one_queue(trace, pods), n=100)[94],
        runs=tuple(run_ for run_, _, _ in found),
        costs=PodCosts(
            inference_s=costs.inference_s,
            switch_s=costs.switch_s,
            load_s={tier.value: seconds for tier, seconds in costs.load_s.items()},
        ),
        stream=stream,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pods", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=100.0, help="of each way, on the clock of the machine")
    parser.add_argument("--speed", type=float, default=4.0, help="so many times faster than an A10G")
    parser.add_argument("--ways", nargs="+", choices=list(_WAYS), default=list(_WAYS))
    parser.add_argument("--again", action="store_true", help="simulate anew what was played, and play nothing")
    parser.add_argument("--out", type=Path, default=RESULTS)
    given = parser.parse_args()
    if given.again:
        before = read(RealResult, given.out, NAME)
        if before is None:
            parser.error("nothing was played yet")
        command.leave(again(before), given.out, NAME, plot.draw)
        return
    trace = _trace(given.pods, given.seconds * given.speed)
    if not trace:
        parser.error(f"nobody asks within {given.seconds:g} seconds")
    command.leave(run(trace, given.pods, given.speed, given.ways, given.seconds), given.out, NAME, plot.draw)


if __name__ == "__main__":
    main()
