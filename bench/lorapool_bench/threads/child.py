"""One way, in this process: `python -m lorapool_bench.threads.child ROUNDS plain|one` prints JSON."""

import json
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from diffusers import UNet2DConditionModel

from lorapool_bench.measure.clock import timed
from lorapool_bench.subjects.small import SMALL_UNET, arguments
from lorapool_runtime.engine.diffusers.host_threads import one_thread

_SIDE = 512


def measure(rounds: int, other: Callable[[], AbstractContextManager[None]]) -> dict[str, list[float]]:
    """Seconds of a forward of the small base, before and after another thread has computed.

    Args:
        other: what that thread computes within.
    """
    made: list[tuple[Any, dict[str, Any]]] = []

    def load() -> None:
        unet = UNet2DConditionModel.from_pretrained(SMALL_UNET).eval().requires_grad_(False)
        made.append((unet, arguments(rows=2, side=16)))

    def forwards() -> list[float]:
        ((unet, given),) = made
        with torch.inference_mode():
            return [timed(lambda: unet(**given)) for _ in range(1 + rounds)][1:]

    def compute() -> None:
        with other(), torch.inference_mode():
            torch.ones(_SIDE, _SIDE).matmul(torch.ones(_SIDE, _SIDE)).exp_()

    with ThreadPoolExecutor(1) as engine, ThreadPoolExecutor(1) as beside:
        # On the engine's thread too: this one has helpers of its own as soon as it computes.
        engine.submit(load).result()
        alone = engine.submit(forwards).result()
        beside.submit(compute).result()
        return {"alone": alone, "beside": engine.submit(forwards).result()}


if __name__ == "__main__":
    _, count, way = sys.argv
    print(json.dumps(measure(int(count), one_thread if way == "one" else nullcontext)))
