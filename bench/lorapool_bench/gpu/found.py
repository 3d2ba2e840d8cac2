"""What the scenes have found, and how a way is timed."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from lorapool_bench.gpu.result import PictureWay, TierSwitch, TrafficWay, latencies
from lorapool_bench.gpu.theirs import ServedByDiffusers
from lorapool_bench.measure.spread import spread
from lorapool_runtime.adapters.file import AdapterFile


@dataclass
class FoundFigures:
    """What there is so far.

    Attributes:
        rounds: of each way to make pictures, after one that is not counted.
    """

    rounds: int
    pictures: list[PictureWay] = field(default_factory=list)
    traffic: list[TrafficWay] = field(default_factory=list)
    switches: list[TierSwitch] = field(default_factory=list)
    cold_start: dict[str, float] = field(default_factory=dict)
    wake: dict[str, float] = field(default_factory=dict)
    memory: dict[str, int] = field(default_factory=dict)

    def time(
        self, name: str, words: str, rows: int, once: Callable[[int], float], compile_s: float | None = None
    ) -> None:
        """A way to make so many pictures at once; `once` is given a seed, and tells the seconds that it took."""
        once(0)
        times = [once(1 + i) for i in range(self.rounds)]
        self.pictures.append(
            PictureWay(
                name=name,
                words=words,
                rows=rows,
                images_per_s=rows * len(times) / sum(times),
                latency=latencies(times),
                compile_s=compile_s,
            )
        )

    def serve(
        self, name: str, words: str, files: Sequence[AdapterFile], serve: Callable[[], Sequence[ServedByDiffusers]]
    ) -> None:
        """A way to serve requests for these, one after the other."""
        served = serve()
        self.traffic.append(
            TrafficWay(
                name=name,
                words=words,
                clients=1,
                requests=len(files),
                adapters=len({file.identity for file in files}),
                images_per_s=len(served) / sum(s.took_s for s in served),
                latency=latencies([s.took_s for s in served]),
                tiers={},
                switch=spread([s.switch_s for s in served]),
            )
        )
