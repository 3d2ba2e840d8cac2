"""What work takes in the simulated pods, in seconds."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from lorapool_api.wire.state import Tier
from lorapool_bench.measure.result import read
from lorapool_bench.switch.result import SwitchResult

# The article's, on an A10G: 25 steps at 1024 x 1024, and one adapter for another.
INFERENCE_S: Final = 8.5
ARTICLE_SWITCH_S: Final = 2.71 + 0.28
STEPS: Final = 25
# Of an adapter of 46 MB, from another pod of the pool: at half a gigabit a second.
_PEER_S: Final = 0.75


@dataclass(frozen=True)
class EngineSeconds:
    """Attributes:
    load_s: an adapter to the device, by its tier; none of it is the switch.
    """

    switch_s: float
    load_s: dict[Tier, float]
    inference_s: float = INFERENCE_S


def measured(results: Path) -> EngineSeconds:
    """What `make bench-switch` measured of the runtime. Raises: ValueError, where it never did."""
    result = read(SwitchResult, results, "switch")
    if result is None:
        raise ValueError("make bench-switch comes first: the costs are what it measured")
    took_s = {way.name: way.switch.median for way in result.kinds[0].ways}
    switch_s = took_s["resident"]
    host_s, disk_s = took_s["host"] - switch_s, took_s["disk"] - switch_s
    return EngineSeconds(
        switch_s, {Tier.DEVICE: 0.0, Tier.HOST: host_s, Tier.DISK: disk_s, Tier.REMOTE: _PEER_S + disk_s}
    )


ARTICLE: Final = EngineSeconds(ARTICLE_SWITCH_S, dict.fromkeys(Tier, 0.0))
