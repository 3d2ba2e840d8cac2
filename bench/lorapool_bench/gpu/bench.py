"""`make bench-gpu`: whole pictures on a GPU; where there is none, the same scenes in small on the CPU."""

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import torch
import yaml
from accelerate import init_empty_weights
from diffusers import UNet2DConditionModel

from lorapool_api.kinds.runtime import Device
from lorapool_bench.gpu import page
from lorapool_bench.gpu.diffusers_scenes import DiffusersScenes
from lorapool_bench.gpu.found import FoundFigures
from lorapool_bench.gpu.lorapool_scenes import LorapoolScenes
from lorapool_bench.gpu.result import GpuResult
from lorapool_bench.gpu.scenes import scenes, within
from lorapool_bench.gpu.subject import GpuSubject, ZipfAdapters, sdxl, small
from lorapool_bench.measure.machine import machine, versions
from lorapool_bench.measure.progress import steps
from lorapool_bench.measure.quiet import quiet
from lorapool_bench.measure.result import RESULTS, today, write

# (rounds, requests): a picture of SDXL takes seconds, one of the small base a fifth of one. With two seconds a picture
# and a minute and a half for a graph, the last scene begins in the eighth minute, and takes less than two.
_USUAL: Final = {Device.CUDA: (1, 10), Device.CPU: (12, 60)}


def run(
    subject: GpuSubject, rounds: int, requests: int, wanted: Sequence[str] = (), limit_s: float = 480.0
) -> GpuResult:
    """Measure. Nothing is written but adapters, in a temporary folder.

    Args:
        wanted: scenes, by name; (): all of them.
        limit_s: what would begin later is left out.
    """
    start, where = time.monotonic(), machine(subject.device.value)
    found = FoundFigures(rounds)
    with tempfile.TemporaryDirectory() as folder:
        adapters = ZipfAdapters(subject, Path(folder))
        ours = LorapoolScenes(subject, adapters, found, requests)
        plays = scenes(ours, DiffusersScenes(subject, adapters, found, requests))
        wanted = [name for name in plays if name in wanted] or list(plays)
        try:
            with steps(len(wanted)) as step:
                played = within(plays, wanted, limit_s, step)
        finally:
            ours.close()
    return GpuResult(
        measured=today(),
        took_s=time.monotonic() - start,
        machine=where,
        versions=versions(),
        settings={
            "pixels": subject.side,
            "steps": subject.steps,
            "dtype": subject.dtype.value,
            "rounds": rounds,
            "requests": requests,
            "threads": torch.get_num_threads(),
        },
        subject=subject.name,
        parameters=_parameters(subject),
        pictures=tuple(found.pictures),
        traffic=tuple(found.traffic),
        switches=tuple(found.switches),
        cold_start=found.cold_start,
        wake=found.wake,
        memory=found.memory,
        left_out=tuple(name for name in plays if name not in played),
    )


def _parameters(subject: GpuSubject) -> int:
    """Of the denoiser."""
    with init_empty_weights():
        unet = UNet2DConditionModel.from_config(UNet2DConditionModel.load_config(subject.folder, subfolder="unet"))
    return sum(parameter.numel() for parameter in unet.parameters())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, help="of each way to make pictures")
    parser.add_argument("--requests", type=int, help="for many adapters")
    parser.add_argument("--steps", type=int, help="of a picture")
    parser.add_argument("--scenes", nargs="*", default=[], help="those alone")
    parser.add_argument("--minutes", type=float, default=8.0, help="no scene begins later")
    parser.add_argument("--out", type=Path, default=RESULTS)
    given = parser.parse_args()
    quiet()
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as scratch:
        # What an earlier run has compiled would make this one's look free.
        os.environ["TORCHINDUCTOR_CACHE_DIR"] = f"{scratch}/compiled"
        if torch.cuda.is_available():
            subject, name = sdxl(Path(scratch) / "sdxl", given.steps), page.ON_CUDA
        else:
            print("There is no CUDA device: the same scenes on the CPU, with the small base.", file=sys.stderr)
            subject, name = small(given.steps), page.ON_CPU
        rounds, requests = _USUAL[subject.device]
        limit_s = given.minutes * 60 - (time.monotonic() - began)
        result = run(subject, given.rounds or rounds, given.requests or requests, given.scenes, limit_s)
    write(result, given.out, name)
    notes = given.out / "notes.yaml"
    print(result.model_dump_json(indent=2))
    print(page.section(given.out, yaml.safe_load(notes.read_text()) if notes.exists() else {}), file=sys.stderr)


if __name__ == "__main__":
    main()
