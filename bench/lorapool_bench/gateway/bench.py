"""`make bench-gateway`: what the gateway adds to a request, what it costs, and how fast it refuses."""

import argparse
import asyncio
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median, quantiles
from typing import Any, Final

from lorapool_bench.gateway import plot as plot_gateway
from lorapool_bench.gateway.load import Answer, burst, steady
from lorapool_bench.gateway.place import GatewaySetup, place
from lorapool_bench.gateway.pod import STEP_S
from lorapool_bench.gateway.result import Burst, GatewayResult, Latency, Level
from lorapool_bench.measure import command
from lorapool_bench.measure.machine import machine, versions
from lorapool_bench.measure.progress import steps
from lorapool_bench.measure.result import RESULTS, today

# Of the pod that only waits; in each level a hundred requests begin in a second.
_LEVELS: Final = (1, 10, 100, 300)
_PER_SECOND: Final = round(1 / STEP_S)
_LEVEL_S: Final = 6.0
_STUB_REQUESTS: Final = 300
# A burst on a pod that takes 0.18 s for an image and lets 64 wait.
_BURST: Final = 300
_STEP_MILLISECONDS: Final = 45
_BURST_STEPS: Final = 4
_OK, _BUSY = 200, 429


def _asked(steps_: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """The same image asked of a pod, and of a gateway."""
    prompt, seed, side = "a red star", 3, 64
    straight = {"prompt": prompt, "seed": seed, "steps": steps_, "width": side, "height": side, "format": "jpeg"}
    parameters = {"seed": seed, "num_inference_steps": steps_, "width": side, "height": side}
    return straight, {"inputs": prompt, "parameters": parameters}


async def _level(at: GatewaySetup, pods: str, in_flight: int, each: int, takes_s: float, rounds: int) -> Level:
    straight, through = _asked(max(1, round(takes_s / STEP_S)))
    direct: list[Answer] = []
    passed: list[Answer] = []
    cpu_s = 0.0
    for _ in range(rounds):
        direct += await steady(at.straight, straight, in_flight, each, takes_s)
        before_s = at.cpu_s
        passed += await steady(at.gateway, through, in_flight, each, takes_s)
        cpu_s += at.cpu_s - before_s
    # The first request of each client counts among those that the gateway worked for.
    worked_for = rounds * in_flight * (each + 1)
    return Level(
        pods=pods,
        in_flight=in_flight,
        takes_s=takes_s,
        straight=_latency(direct),
        gateway=_latency(passed),
        cpu_s=cpu_s / worked_for,
    )


def _latency(answers: Sequence[Answer]) -> Latency:
    """Raises: RuntimeError when not every request was answered with an image."""
    if any(answer.status != _OK for answer in answers):
        raise RuntimeError(f"not an image: {sorted({answer.status for answer in answers})}")
    hundredths = quantiles((answer.took_s for answer in answers), n=100)
    return Latency(p50_s=hundredths[49], p99_s=hundredths[98], requests=len(answers))


async def _burst(at: GatewaySetup, way: str) -> Burst:
    straight, through = _asked(_BURST_STEPS)
    before_s = at.cpu_s
    answers = await (burst(at.straight, straight, _BURST) if way == "straight" else burst(at.gateway, through, _BURST))
    refused_s = sorted(answer.took_s for answer in answers if answer.status == _BUSY) or [0.0]
    made = sum(answer.status == _OK for answer in answers)
    refused = sum(answer.status == _BUSY for answer in answers)
    return Burst(
        way=way,
        requests=len(answers),
        made=made,
        refused=refused,
        failed=len(answers) - made - refused,
        first_s=refused_s[0],
        p50_s=median(refused_s),
        last_s=refused_s[-1],
        cpu_s=at.cpu_s - before_s if way == "gateway" else 0.0,
    )


async def run(rounds: int) -> GatewayResult:
    """Measure; pods and gateways are processes of their own."""
    start = time.monotonic()
    on, versions_ = machine(), versions()
    with steps(len(_LEVELS) + 3) as step:
        step("the runtime's stub, 1 in flight")
        async with place("stub") as at:
            levels = [await _level(at, "the runtime with its stub engine", 1, _STUB_REQUESTS, 0.0, rounds)]
        async with place("clock") as at:
            for in_flight in _LEVELS:
                step(f"a pod that waits, {in_flight} in flight")
                each = max(2, round(_LEVEL_S * _PER_SECOND / in_flight))
                takes_s = in_flight * STEP_S
                levels.append(await _level(at, "a pod that only waits", in_flight, each, takes_s, rounds))
        bursts = []
        async with place("stub", "--step-milliseconds", str(_STEP_MILLISECONDS)) as at:
            for way in ("straight", "gateway"):
                step(f"{_BURST} at once, {way}")
                bursts.append(await _burst(at, way))
    return GatewayResult(
        measured=today(),
        took_s=time.monotonic() - start,
        machine=on,
        versions=versions_,
        settings={"rounds": rounds, "requests in a second": _PER_SECOND},
        levels=tuple(levels),
        bursts=tuple(bursts),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=RESULTS)
    given = parser.parse_args()
    command.leave(asyncio.run(run(given.rounds)), given.out, "gateway", plot_gateway.draw)


if __name__ == "__main__":
    main()
