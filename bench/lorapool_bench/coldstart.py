"""`make bench-coldstart`: a pipeline from files to memory, by lorapool's loader and by diffusers' own."""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import torch

from lorapool_bench import plot_coldstart
from lorapool_bench.coldstart_result import Case, ColdstartResult, Start
from lorapool_bench.machine import machine, versions
from lorapool_bench.progress import Step, steps
from lorapool_bench.quiet import quiet
from lorapool_bench.random_pipeline import save_pipeline
from lorapool_bench.result import RESULTS, today, write
from lorapool_bench.spread import spread
from lorapool_bench.unet import SHAPES

# (dtype of the files, dtype that is wanted)
CASES: Final = (("float32", "bfloat16"), ("bfloat16", "bfloat16"))
WAYS: Final = ("lorapool", "diffusers", "diffusers, converting")


@dataclass(frozen=True)
class Folders:
    """The pipeline that is measured, and a small one that warms a process up."""

    measured: Path
    first: Path


Load = Callable[[str, Folders, str, str], Mapping[str, float]]


def load_once(way: str, folders: Folders, dtype: str, device: str) -> Mapping[str, float]:
    """The figures of one load in a process of its own. Raises: CalledProcessError."""
    command = [sys.executable, "-m", "lorapool_bench.coldstart_child", way]
    command += [str(folders.measured), str(folders.first), dtype, device]
    done = subprocess.run(command, check=True, capture_output=True, text=True)  # noqa: S603 -- ourselves
    figures: Mapping[str, float] = json.loads(done.stdout.splitlines()[-1])
    return figures


def run_case(folders: Folders, case: tuple[str, str], rounds: int, device: str, step: Step, load: Load) -> Case:
    """All ways, one after the other in each round; the first round fills the page cache and does not count."""
    stored, wanted = case
    found: dict[str, list[Mapping[str, float]]] = {way: [] for way in WAYS}
    for i in range(1 + rounds):
        for way in WAYS:
            step(f"{stored} to {wanted}, {way}, " + (f"round {i} of {rounds}" if i else "warming up"))
            figures = load(way, folders, wanted, device)
            found[way] += [figures] if i else []
    size_bytes = sum(file.stat().st_size for file in folders.measured.rglob("*.safetensors"))
    starts = tuple(_start(way, figures) for way, figures in found.items())
    return Case(stored=stored, wanted=wanted, size_bytes=size_bytes, starts=starts)


def _start(way: str, figures: Sequence[Mapping[str, float]]) -> Start:
    return Start(
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
            step(f"writing a pipeline in {case[0]}")
            with tempfile.TemporaryDirectory() as folder:
                folders = Folders(Path(folder) / "measured", Path(folder) / "first")
                save_pipeline(folders.measured, SHAPES[shape], getattr(torch, case[0]))
                save_pipeline(folders.first, SHAPES["tiny"], getattr(torch, case[0]))
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
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shape", choices=list(SHAPES), default="half")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--out", type=Path, default=RESULTS)
    given = parser.parse_args()
    quiet()
    result = run(given.shape, given.rounds, given.device)
    print(write(result, given.out, "coldstart"))
    print(plot_coldstart.draw(result, given.out / "coldstart.png"))


if __name__ == "__main__":
    main()
