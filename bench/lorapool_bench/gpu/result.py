"""What the bench of whole pictures found."""

from collections.abc import Sequence
from math import ceil

from lorapool_bench.measure.result import Frozen, Result
from lorapool_bench.measure.spread import Spread


class Latencies(Frozen):
    """Seconds from a request to its pictures; of few of them the 95th percentile is the longest."""

    p50_s: float
    p95_s: float
    count: int


def latencies(samples: Sequence[float]) -> Latencies:
    """By nearest rank. Raises: ValueError without samples."""
    if not samples:
        raise ValueError("nothing was measured")
    ordered = sorted(samples)

    def rank(share: float) -> float:
        return ordered[ceil(share * len(ordered)) - 1]

    return Latencies(p50_s=rank(0.5), p95_s=rank(0.95), count=len(ordered))


class PictureWay(Frozen):
    """One way to make pictures.

    Attributes:
        rows: pictures that share each forward.
        compile_s: the first picture of a graph, its compilation; None: eager.
    """

    name: str
    words: str
    rows: int
    images_per_s: float
    latency: Latencies
    compile_s: float | None = None


class TrafficWay(Frozen):
    """One way to serve requests for many adapters, the n-th wanted 1/n as often as the first.

    Attributes:
        clients: each asks for the next picture when it has the last one.
        adapters: different ones that were asked for.
        tiers: how many requests found their adapter where; empty where a way has no tiers.
        switch: seconds from one adapter to the next, with the way back where there is one.
    """

    name: str
    words: str
    clients: int
    requests: int
    adapters: int
    images_per_s: float
    latency: Latencies
    tiers: dict[str, int]
    switch: Spread


class TierSwitch(Frozen):
    """Seconds from one adapter to the next, of a request whose adapter was there; also where it is merged."""

    words: str
    switch: Spread


class GpuResult(Result):
    """Attributes:
    subject: the base, in words.
    cold_start: seconds of each stage, the first picture last.
    memory: bytes of each part; of a CPU what the process took at most stands for the pictures.
    wake: seconds of each stage of a base that slept, medians: its way to sleep, its way back, the first picture.
    left_out: scenes that were not asked for, or for which no time or no room was left.
    """

    subject: str
    parameters: int
    pictures: tuple[PictureWay, ...]
    traffic: tuple[TrafficWay, ...]
    switches: tuple[TierSwitch, ...]
    cold_start: dict[str, float]
    memory: dict[str, int]
    left_out: tuple[str, ...]
    wake: dict[str, float] = {}
