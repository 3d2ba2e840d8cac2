"""All scenes, in the order of what they are worth where time is short."""

import sys
import time
from collections.abc import Callable, Mapping, Sequence

import torch

from lorapool_bench.gpu.diffusers_scenes import DiffusersScenes
from lorapool_bench.gpu.lorapool_scenes import LorapoolScenes


def scenes(ours: LorapoolScenes, theirs: DiffusersScenes) -> Mapping[str, Callable[[], None]]:
    """By name. One holds the device at a time, so that cards of 24 GB are enough: lorapool's come first, then go."""

    def alone(play: Callable[[], None]) -> Callable[[], None]:
        def played() -> None:
            ours.close()
            play()

        return played

    return {
        "batches": ours.batches,
        "tiers": ours.tiers,
        "traffic": ours.traffic,
        "memory": ours.memory,
        "sleep": ours.sleep,
        "compiled": ours.compiled,
        "diffusers": alone(theirs.diffusers),
        "diffusers-traffic": alone(theirs.diffusers_traffic),
        "diffusers-compiled": alone(theirs.diffusers_compiled),
        "diffusers-compiled-hotswap": alone(theirs.diffusers_compiled_hotswap),
    }


def within(
    scenes: Mapping[str, Callable[[], None]], wanted: Sequence[str], limit_s: float, begin: Callable[[str], None]
) -> list[str]:
    """Plays the wanted scenes; `begin` is told of each. Those that would begin after the limit are left.

    Returns: those that were played to their end: a device that is too small for one may be large enough for the next.
    """
    began, played = time.monotonic(), []
    for name, play in scenes.items():
        if name not in wanted or time.monotonic() - began >= limit_s:
            continue
        begin(name)
        try:
            play()
        except torch.OutOfMemoryError as error:
            print(f"{name}: no room on the device: {str(error).splitlines()[0]}", file=sys.stderr)
        else:
            played.append(name)
    return played
