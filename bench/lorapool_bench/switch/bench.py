"""`make bench-switch`: one adapter to the next, in diffusers' own ways and in lorapool's, side by side."""

import gc
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import torch

from lorapool_bench.measure import command
from lorapool_bench.measure.clock import Parts
from lorapool_bench.measure.machine import machine, peak_bytes, versions
from lorapool_bench.measure.progress import Step, steps
from lorapool_bench.measure.quiet import quiet
from lorapool_bench.measure.result import today
from lorapool_bench.measure.spread import spread
from lorapool_bench.subjects.adapters import KINDS, AdapterKind, write_adapter
from lorapool_bench.subjects.unet import SHAPES, linears, make_unet, twin
from lorapool_bench.switch import plot as plot_switch
from lorapool_bench.switch.exact import Pristine, exactness, fingerprint, references, sampled
from lorapool_bench.switch.result import Exactness, KindResult, SwitchResult, WayResult
from lorapool_bench.ways.diffusers import Article, Hotswap
from lorapool_bench.ways.lorapool import Pooled, PooledUNet
from lorapool_bench.ways.pass_once import extra_s, passing
from lorapool_runtime.adapters.file import AdapterFile

_DTYPE: Final = torch.bfloat16
# lorapool's cheap ways are measured so often in each round: what they put off is small beside a pass's own noise,
# which on a shared machine is a tenth of it. Of 90 the median is known to one hundredth.
_OFTEN: Final = 30
_DRIFT_SAMPLES: Final = 40

Way = Article | Hotswap | Pooled


@dataclass
class Found:
    """The measurements of one way."""

    switches: list[Parts] = field(default_factory=list)
    extras: list[float] = field(default_factory=list)
    steadies: list[float] = field(default_factory=list)
    exact: Exactness | None = None

    def result(self, name: str) -> WayResult:
        """What was measured. Raises: ValueError where nothing was."""
        if self.exact is None:
            raise ValueError(f"{name} was never switched")
        parts = {part: spread([s[part] for s in self.switches]) for part in self.switches[0]}
        return WayResult(
            name=name,
            parts=parts,
            switch=spread([sum(s.values()) for s in self.switches]),
            extra=spread(self.extras),
            steady=spread(self.steadies),
            exact=self.exact,
        )


@dataclass(frozen=True)
class Bench:
    """One kind of adapter on one base."""

    unet: Any
    kind: AdapterKind
    files: tuple[AdapterFile, AdapterFile]
    device: str

    @property
    def names(self) -> list[str]:
        return list(linears(self.unet, self.kind.ends))

    def ways(self) -> tuple[Way, ...]:
        """Each on modules of its own, all on the same weights; every adapter was active once, the second one is."""
        added, merged = PooledUNet(twin(self.unet), self.files), PooledUNet(twin(self.unet), self.files, merge=True)
        for file in self.files:
            added.switch(file)
            merged.switch(file)
        return (
            Article(twin(self.unet)),
            Hotswap(twin(self.unet), self.files[1]),
            *(Pooled(tier, added) for tier in ("resident", "host", "disk")),
            Pooled("merged", merged),
        )

    def measure(self, way: Way, found: Found, to: AdapterFile, *, judge: bool) -> None:
        """One switch, and the passes after it."""
        wanted = references(self.unet, sampled(self.names), to) if judge else {}
        way.prepare(to)
        parts = way.switch(to)
        once = passing(way.unet, self.names, _DTYPE, self.device)
        extra, steady = extra_s(once, self.device)
        if judge:
            found.exact = exactness(way.unet, wanted)
        found.switches.append(Parts(parts | way.leave()))
        found.extras.append(extra)
        found.steadies.append(steady)


def run_kind(name: str, bench: Bench, rounds: int, step: Step) -> KindResult:
    """All ways, one after the other in each round."""
    step(f"{name}: setting up")
    pristine = Pristine(bench.unet, sampled(bench.names, _DRIFT_SAMPLES))
    ways = bench.ways()
    found = {way.name: Found() for way in ways}
    identical = True
    for i in range(rounds):
        before = ""
        for way in ways:
            step(f"{name}: {way.name}, round {i + 1} of {rounds}")
            if isinstance(way, Pooled) and not before:
                before = fingerprint(bench.unet)
            times = _OFTEN if isinstance(way, Pooled) and way.name != "merged" else 1
            for j in range(times):
                to = bench.files[(i * times + j) % 2]
                bench.measure(way, found[way.name], to, judge=i == j == 0)
        identical &= fingerprint(bench.unet) == before
    return KindResult(
        name=name,
        modules=len(bench.names),
        rank=bench.kind.rank,
        size_bytes=bench.files[0].facts.size_bytes,
        base_identical=identical,
        lorapool_switches=sum(len(found[w.name].switches) for w in ways if isinstance(w, Pooled)),
        article_changed=pristine.changed(bench.unet),
        article_switches=rounds,
        ways=tuple(found[way.name].result(way.name) for way in ways),
    )


def run(shape: str, rounds: int, device: str = "cpu", kinds: Sequence[str] = tuple(KINDS)) -> SwitchResult:
    """Measure. Nothing is written."""
    start, where = time.monotonic(), machine(device)
    results = []
    with steps(1 + len(kinds) * (1 + 6 * rounds)) as step, tempfile.TemporaryDirectory() as folder:
        step("making the base")
        unet = make_unet(SHAPES[shape], _DTYPE, device)
        for name in kinds:
            kind = KINDS[name]
            files = tuple(write_adapter(Path(folder) / f"{s}.safetensors", unet, kind, _DTYPE, s) for s in (1, 2))
            results.append(run_kind(name, Bench(unet, kind, (files[0], files[1]), device), rounds, step))
            gc.collect()  # twins and engines hold each other
    return SwitchResult(
        measured=today(),
        took_s=time.monotonic() - start,
        machine=where,
        versions=versions(),
        settings={"shape": shape, "rounds": rounds, "threads": torch.get_num_threads()},
        peak_bytes=peak_bytes(),
        parameters=sum(p.numel() for p in unet.parameters()),
        dtype=str(_DTYPE).removeprefix("torch."),
        kinds=tuple(results),
    )


def main() -> None:
    given = command.parser(__doc__, shape="sdxl", rounds=5).parse_args()
    quiet()
    result = run(given.shape, given.rounds, given.device)
    command.leave(result, given.out, "switch", plot_switch.draw)


if __name__ == "__main__":
    main()
