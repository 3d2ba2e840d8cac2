"""`make bench-overhead`: seconds per step of a UNet, bare, wrapped, with adapters added, merged, mixed."""

import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

import torch

from lorapool_bench.measure import command
from lorapool_bench.measure.clock import timed
from lorapool_bench.measure.machine import machine, peak_bytes, versions
from lorapool_bench.measure.progress import steps
from lorapool_bench.measure.quiet import quiet
from lorapool_bench.measure.result import today
from lorapool_bench.measure.spread import spread
from lorapool_bench.overhead import plot as plot_overhead
from lorapool_bench.overhead.result import OverheadResult, Variant
from lorapool_bench.subjects.adapters import KINDS, AdapterKind, write_adapter
from lorapool_bench.subjects.unet import SHAPES, inputs, make_unet, twin
from lorapool_bench.ways.launches import forward_costs
from lorapool_bench.ways.lorapool import PooledUNet
from lorapool_bench.ways.wrapper import call_cost, wrapped_modules
from lorapool_runtime.adapters.file import AdapterFile

_DTYPES: Final = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
_PIXELS_PER_POSITION: Final = 8


# Pictures in a batch, each with an adapter of its own.
_BATCH: Final = 4
_MIXED: Final = "46 MB"
PLAIN: Final = "plain"
# A call is timed so often for each round of the others.
_CALLS_A_ROUND: Final = 500
_FORWARDS_A_ROUND: Final = 40


@dataclass(frozen=True)
class State:
    """A state of a UNet: `enter` puts it there, which is not counted."""

    name: str
    words: str
    unet: Any
    enter: Callable[[], object]
    pictures: int = 1


def states(unet: Any, folder: Path) -> Iterator[State]:
    """All ways to apply adapters, and the plain UNet beside them."""
    dtype = next(unet.parameters()).dtype

    def write_one(kind: AdapterKind, seed: int) -> AdapterFile:
        return write_adapter(folder / f"{kind.rank}-{seed}.safetensors", unet, kind, dtype, seed)

    files = {name: write_one(kind, 1) for name, kind in KINDS.items()}
    batch = [files[_MIXED], *(write_one(KINDS[_MIXED], seed) for seed in range(2, 1 + _BATCH))]
    plain = twin(unet)
    added = PooledUNet(twin(unet), [*files.values(), *batch[1:]])
    merged = PooledUNet(twin(unet), list(files.values()), merge=True)
    yield State(PLAIN, "diffusers' own UNet", plain, lambda: None)
    yield State("wrapped", "wrapped, no adapter", added.unet, added.bare)
    for name, file in files.items():
        what = f"rank {KINDS[name].rank} on {file.facts.target_count} modules"
        yield State(f"unmerged {name}", f"unmerged, {what}", added.unet, partial(added.switch, file))
        yield State(f"merged {name}", f"merged, {what}", merged.unet, partial(merged.switch, file))
    many = f"{_BATCH} pictures"
    alike = partial(added.switch, batch[0])
    yield State(f"{PLAIN} batch", f"{many}: diffusers' own UNet", plain, lambda: None, _BATCH)
    yield State("unmerged batch", f"{many}: one adapter, unmerged", added.unet, alike, _BATCH)
    yield State("mixed batch", f"{many}: an adapter each", added.unet, partial(added.mix, batch), _BATCH)


def run(shape: str, rounds: int, pixels: int, dtype: str, device: str = "cpu") -> OverheadResult:
    """Measure. Nothing is written."""
    start, where = time.monotonic(), machine(device)
    unet = make_unet(SHAPES[shape], _DTYPES[dtype], device)
    latent = pixels // _PIXELS_PER_POSITION
    arguments = {n: inputs(SHAPES[shape], _DTYPES[dtype], device, latent, n) for n in (1, _BATCH)}
    with tempfile.TemporaryDirectory() as folder, torch.inference_mode():
        found = list(states(unet, Path(folder)))
        times: dict[str, list[float]] = {state.name: [] for state in found}
        with steps((1 + rounds) * len(found)) as step:
            for i in range(1 + rounds):
                for state in found:
                    step(f"{state.words}, " + (f"round {i} of {rounds}" if i else "warming up"))
                    state.enter()
                    forward = partial(state.unet, **arguments[state.pictures])
                    # The first forward after a switch is the other bench's.
                    forward()
                    seconds = timed(forward, device)
                    times[state.name] += [seconds] if i else []
        (modules,) = (wrapped_modules(state.unet) for state in found if state.name == "wrapped")
    return OverheadResult(
        measured=today(),
        took_s=time.monotonic() - start,
        machine=where,
        versions=versions(),
        settings={
            "shape": shape,
            "dtype": dtype,
            "pixels": pixels,
            "rounds": rounds,
            "threads": torch.get_num_threads(),
        },
        peak_bytes=peak_bytes(),
        parameters=sum(p.numel() for p in unet.parameters()),
        variants=tuple(_variant(state, times) for state in found),
        modules=modules,
        call=call_cost(_CALLS_A_ROUND * rounds),
        host=forward_costs(_FORWARDS_A_ROUND * rounds),
    )


def _variant(state: State, times: Mapping[str, list[float]]) -> Variant:
    plain = times[PLAIN if state.pictures == 1 else f"{PLAIN} batch"]
    steps_s = times[state.name]
    return Variant(
        name=state.name,
        words=state.words,
        pictures=state.pictures,
        step=spread(steps_s),
        ratio=spread([one / other for one, other in zip(steps_s, plain, strict=True)]),
    )


def main() -> None:
    parser = command.parser(__doc__, shape="half", rounds=7)
    parser.add_argument("--pixels", type=int, default=256, help="of a picture's side")
    # A CPU has no arithmetic of its own for 16 bits, most of them: it would be the emulation that is measured.
    parser.add_argument("--dtype", choices=list(_DTYPES), default="float32")
    given = parser.parse_args()
    quiet()
    result = run(given.shape, given.rounds, given.pixels, given.dtype, given.device)
    command.leave(result, given.out, "overhead", plot_overhead.draw)


if __name__ == "__main__":
    main()
