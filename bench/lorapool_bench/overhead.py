"""`make bench-overhead`: seconds per step of a UNet, bare, wrapped, with an adapter added, with one merged."""

import argparse
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

import torch

from lorapool_bench import plot_overhead
from lorapool_bench.adapters import KINDS, write_adapter
from lorapool_bench.clock import timed
from lorapool_bench.machine import machine, versions
from lorapool_bench.overhead_result import OverheadResult, Variant
from lorapool_bench.progress import steps
from lorapool_bench.quiet import quiet
from lorapool_bench.result import RESULTS, today, write
from lorapool_bench.spread import spread
from lorapool_bench.unet import SHAPES, inputs, make_unet, twin
from lorapool_bench.ways_lorapool import Pool

_DTYPES: Final = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
_PIXELS_PER_POSITION: Final = 8


@dataclass(frozen=True)
class State:
    """A state of a UNet: `enter` puts it there, which is not counted."""

    name: str
    words: str
    unet: Any
    enter: Callable[[], object]


def states(unet: Any, folder: Path) -> Iterator[State]:
    """The plain UNet first. A new way to apply adapters is one more state."""
    dtype = next(unet.parameters()).dtype
    names = {n: write_adapter(folder / f"{k.rank}.safetensors", unet, k, dtype, seed=1) for n, k in KINDS.items()}
    yield State("plain", "diffusers' own UNet", twin(unet), lambda: None)
    added, merged = Pool(twin(unet), tuple(names.values())), Pool(twin(unet), tuple(names.values()), merge=True)
    yield State("wrapped", "wrapped, no adapter", added.unet, added.bare)
    for name, file in names.items():
        what = f"rank {KINDS[name].rank} on {len(file.facts.targets)} modules"
        yield State(f"unmerged {name}", f"unmerged, {what}", added.unet, partial(added.switch, file))
        yield State(f"merged {name}", f"merged, {what}", merged.unet, partial(merged.switch, file))


def run(shape: str, rounds: int, pixels: int, dtype: str, device: str = "cpu") -> OverheadResult:
    """Measure. Nothing is written."""
    start, where = time.monotonic(), machine(device)
    unet = make_unet(SHAPES[shape], _DTYPES[dtype], device)
    arguments = inputs(SHAPES[shape], _DTYPES[dtype], device, pixels // _PIXELS_PER_POSITION)
    with tempfile.TemporaryDirectory() as folder, torch.inference_mode():
        found = list(states(unet, Path(folder)))
        times: dict[str, list[float]] = {state.name: [] for state in found}
        with steps((1 + rounds) * len(found)) as step:
            for i in range(1 + rounds):
                for state in found:
                    step(f"{state.words}, " + (f"round {i} of {rounds}" if i else "warming up"))
                    state.enter()
                    seconds = timed(lambda s=state: s.unet(**arguments), device)  # type: ignore[misc]
                    times[state.name] += [seconds] if i else []
    plain = times[found[0].name]
    return OverheadResult(
        measured=today(),
        took_s=time.monotonic() - start,
        machine=where,
        versions=versions(),
        settings={
            "shape": shape,
            "dtype": dtype,
            "pixels": pixels,
            "pictures in a forward": 1,
            "rounds": rounds,
            "threads": torch.get_num_threads(),
        },
        parameters=sum(p.numel() for p in unet.parameters()),
        variants=tuple(
            Variant(
                name=state.name,
                words=state.words,
                step=spread(times[state.name]),
                ratio=spread([t / p for t, p in zip(times[state.name], plain, strict=True)]),
            )
            for state in found
        ),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shape", choices=list(SHAPES), default="half")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--pixels", type=int, default=256, help="of a picture's side")
    # A CPU has no arithmetic of its own for 16 bits, most of them: it would be the emulation that is measured.
    parser.add_argument("--dtype", choices=list(_DTYPES), default="float32")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--out", type=Path, default=RESULTS)
    given = parser.parse_args()
    quiet()
    result = run(given.shape, given.rounds, given.pixels, given.dtype, given.device)
    print(write(result, given.out, "overhead"))
    print(plot_overhead.draw(result, given.out / "overhead.png"))


if __name__ == "__main__":
    main()
