"""All scenes, in the order of what they are worth where time is short."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence

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
        "compiled": ours.compiled,
        "diffusers": alone(theirs.diffusers),
        "diffusers-traffic": alone(theirs.diffusers_traffic),
        "diffusers-compiled": alone(theirs.diffusers_compiled),
    }


def within(scenes: Mapping[str, Callable[[], None]], wanted: Sequence[str], limit_s: float) -> Iterator[str]:
    """Plays the wanted scenes, each said before it begins; those that would begin after the limit are not."""
    began = time.monotonic()
    for name, play in scenes.items():
        if name in wanted and time.monotonic() - began < limit_s:
            yield name
            play()
