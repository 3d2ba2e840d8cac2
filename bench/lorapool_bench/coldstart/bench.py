"""`make bench-coldstart`: a pipeline from files to memory, by lorapool's loader and by diffusers' own."""

import multiprocessing
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import torch

from lorapool_api.kinds.base_model import Dtype
from lorapool_api.kinds.runtime import Device
from lorapool_bench.coldstart import child
from lorapool_bench.coldstart import plot as plot_coldstart
from lorapool_bench.coldstart.result import Case, ColdstartResult, PipelineStart
from lorapool_bench.measure import command
from lorapool_bench.measure.machine import machine, versions
from lorapool_bench.measure.progress import Step, steps
from lorapool_bench.measure.quiet import quiet
from lorapool_bench.measure.result import today
from lorapool_bench.measure.spread import spread
from lorapool_bench.subjects.random_pipeline import save_pipeline
from lorapool_bench.subjects.unet import SHAPES

WAYS: Final = ("lorapool", "diffusers", "diffusers, converting")


@dataclass(frozen=True)
class Asked:
    """A case to measure: dtype of the files, dtype that is wanted, whether the files are in the page cache."""

    stored: str
    wanted: str
    cached: bool = True

    def __str__(self) -> str:
        return f"{self.stored} to {self.wanted}" + ("" if self.cached else ", from disk")


CASES: Final = (Asked("float32", "bfloat16"), Asked("float32", "bfloat16", cached=False), Asked("bfloat16", "bfloat16"))


@dataclass(frozen=True)
class PipelineFolders:
    """The pipeline that is measured, and a small one that warms a process up."""

    measured: Path
    first: Path

    def files(self) -> Iterator[Path]:
        """Those with the weights that are measured."""
        return self.measured.rglob("*.safetensors")

    def uncache(self) -> None:
        """The next one who reads them reads from disk."""
        for path in self.files():
            with path.open("rb") as file:
                os.fsync(file.fileno())
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


Load = Callable[[str, PipelineFolders, str, str], Mapping[str, float]]


def load_once(way: str, folders: PipelineFolders, dtype: str, device: str) -> Mapping[str, float]:
    """The figures of one load in a process of its own, forked from one that has imported everything."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["lorapool_bench.coldstart.child"])
    with context.Pool(1) as pool:
        return pool.apply(child.measure, (way, folders.measured, folders.first, Dtype(dtype), Device(device)))


def run_case(folders: PipelineFolders, case: Asked, rounds: int, device: str, step: Step, load: Load) -> Case:
    """All ways, one after the other in each round; the first round does not count."""
    found: dict[str, list[Mapping[str, float]]] = {way: [] for way in WAYS}
    for i in range(1 + rounds):
        for way in WAYS:
            step(f"{case}, {way}, " + (f"round {i} of {rounds}" if i else "warming up"))
            if not case.cached:
                folders.uncache()
            figures = load(way, folders, case.wanted, device)
            found[way] += [figures] if i else []
    size_bytes = sum(file.stat().st_size for file in folders.files())
    starts = tuple(_start(way, figures) for way, figures in found.items())
    return Case(stored=case.stored, wanted=case.wanted, cached=case.cached, size_bytes=size_bytes, starts=starts)


def _start(way: str, figures: Sequence[Mapping[str, float]]) -> PipelineStart:
    return PipelineStart(
        way=way,
        load=spread([f["load_s"] for f in figures]),
        touch=spread([f["touch_s"] for f in figures]),
        total=spread([f["load_s"] + f["touch_s"] for f in figures]),
        peak_bytes=int(max(f["peak_bytes"] for f in figures)),
        own_bytes=int(max(f["own_bytes"] for f in figures)),
    )


def run(shape: str, rounds: int, device: str = "cpu", load: Load = load_once) -> ColdstartResult:
    """Measure. Nothing is left behind."""
    start, where = time.monotonic(), machine(device)
    cases = []
    with steps(len(CASES) * (1 + len(WAYS) * (1 + rounds))) as step:
        for case in CASES:
            step(f"writing a pipeline in {case.stored}")
            with tempfile.TemporaryDirectory() as folder:
                folders = PipelineFolders(Path(folder) / "measured", Path(folder) / "first")
                save_pipeline(folders.measured, SHAPES[shape], getattr(torch, case.stored))
                save_pipeline(folders.first, SHAPES["tiny"], getattr(torch, case.stored))
                cases.append(run_case(folders, case, rounds, device, step, load))
    return ColdstartResult(
        measured=today(),
        took_s=time.monotonic() - start,
        machine=where,
        versions=versions(),
        settings={"shape": shape, "rounds": rounds, "threads": torch.get_num_threads()},
        cases=tuple(cases),
    )


def main() -> None:
    given = command.parser(__doc__, shape="half", rounds=5).parse_args()
    quiet()
    result = run(given.shape, given.rounds, given.device)
    command.leave(result, given.out, "coldstart", plot_coldstart.draw)


if __name__ == "__main__":
    main()
