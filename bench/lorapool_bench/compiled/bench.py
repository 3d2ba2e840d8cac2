"""`make bench-compile`: a step of the small base eager, compiled and compiled with an adapter, beside PEFT's."""

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import torch
from diffusers import UNet2DConditionModel

from lorapool_bench.compiled.result import CompiledResult, Way
from lorapool_bench.measure.clock import timed
from lorapool_bench.measure.machine import machine, versions
from lorapool_bench.measure.quiet import quiet
from lorapool_bench.measure.result import RESULTS, today, write
from lorapool_bench.measure.spread import spread
from lorapool_bench.subjects.adapters import KINDS, write_adapter
from lorapool_bench.subjects.small import SMALL_UNET, arguments
from lorapool_bench.ways.diffusers import pipeline_of
from lorapool_runtime.adapters.file import AdapterFile, ScaledAdapter
from lorapool_runtime.engine.diffusers.compiled.denoiser import CompiledDenoiser
from lorapool_runtime.engine.diffusers.compiled.make import graph_compiler, with_twin
from lorapool_runtime.engine.diffusers.layers.switchboard import DeviceAdapter, Plan, Switchboard
from lorapool_runtime.engine.diffusers.weights.read import read_adapter

_KIND: Final = "46 MB"
_ADAPTERS: Final = 4
_LIMIT_S: Final = 1200.0


@dataclass
class _Pooled:
    """The base as a pod holds it: wrapped, with a twin that is compiled."""

    unet: Any
    files: list[AdapterFile]
    board: Switchboard = field(init=False)
    compiled: CompiledDenoiser = field(init=False)
    plans: list[Plan] = field(init=False)

    def __post_init__(self) -> None:
        self.board = Switchboard({"unet": self.unet})
        made = with_twin(self.unet, self.board, graph_compiler())
        if made is None:
            raise TypeError(f"{SMALL_UNET} cannot be compiled")
        self.compiled = made
        self.plans = [self._plan(file) for file in self.files]

    def _plan(self, file: AdapterFile) -> Plan:
        adapter = read_adapter(file, self.board, torch.float32, widths={})
        there: DeviceAdapter = adapter.device_adapter(adapter.flat)
        return self.board.plan((ScaledAdapter(there, 1.0),), merge=True)

    def bare(self) -> None:
        self.board.switch(self.board.plan(()))

    def switch(self, number: int) -> None:
        self.board.switch(self.plans[number])

    def step(self, given: dict[str, Any]) -> Any:
        with self.compiled.one_run():
            return self.unet(**given)[0]

    def compile(self, given: dict[str, Any]) -> float:
        """Seconds until the graph is there. Raises: TimeoutError."""
        start = time.monotonic()
        self.bare()
        self.step(given)
        while not self.compiled.figures.graphs:
            if time.monotonic() - start > _LIMIT_S:
                raise TimeoutError("the denoiser was not compiled in time")
            time.sleep(0.1)
        return time.monotonic() - start


def _base() -> Any:
    return UNet2DConditionModel.from_pretrained(SMALL_UNET).eval().requires_grad_(False)


def _with_peft(file: AdapterFile) -> Any:
    unet = _base()
    pipeline_of(unet).load_lora_weights(Path(file.path), adapter_name="default")
    return unet


def run(rounds: int, rows: int, side: int) -> CompiledResult:
    """Measure. Nothing is written."""
    start, where = time.monotonic(), machine("cpu")
    with tempfile.TemporaryDirectory() as folder, torch.inference_mode():
        given = arguments(rows, side)
        plain = _base()
        kind = KINDS[_KIND]
        files = [
            write_adapter(Path(folder) / f"{i}.safetensors", plain, kind, torch.float32, i) for i in range(_ADAPTERS)
        ]
        pooled, peft = _Pooled(_base(), files), _with_peft(files[0])
        peft_graph: Any = torch.compile(_with_peft(files[0]), dynamic=False)
        plain_graph: Any = torch.compile(_base(), dynamic=False)
        compile_s = {
            "graph": pooled.compile(given),
            "plain graph": timed(lambda: plain_graph(**given)),
            "peft graph": timed(lambda: peft_graph(**given)),
        }
        ways: dict[str, tuple[str, Callable[[], object], Callable[[], object]]] = {
            "eager": ("diffusers, eager, no adapter", _nothing, lambda: plain(**given)),
            "plain graph": ("diffusers, compiled, no adapter", _nothing, lambda: plain_graph(**given)),
            "peft": ("diffusers with PEFT, eager, an adapter", _nothing, lambda: peft(**given)),
            "peft graph": ("diffusers with PEFT, compiled, an adapter", _nothing, lambda: peft_graph(**given)),
            "graph": ("lorapool, compiled, no adapter", pooled.bare, lambda: pooled.step(given)),
            "graph adapter": ("lorapool, compiled, an adapter", lambda: pooled.switch(0), lambda: pooled.step(given)),
        }
        times: dict[str, list[float]] = {name: [] for name in ways}
        for i in range(1 + rounds):
            for name, (_, enter, step) in ways.items():
                enter()
                step()
                times[name] += [timed(step)] if i else []
        before, switches = pooled.compiled.figures, [_switch(pooled, i, given) for i in range(rounds)]
        pooled.switch(0)
        answer, wanted = pooled.step(given), peft(**given)[0]
        after = pooled.compiled.figures
    return CompiledResult(
        measured=today(),
        took_s=time.monotonic() - start,
        machine=where,
        versions=versions(),
        settings={"rounds": rounds, "rows": rows, "latent": side, "threads": torch.get_num_threads()},
        parameters=sum(p.numel() for p in plain.parameters()),
        ways=tuple(
            Way(name=name, words=words, compile_s=compile_s.get(name), step=spread(times[name]))
            for name, (words, _, _) in ways.items()
        ),
        switch=spread(switches),
        switches=rounds,
        recompilations=after.graphs - before.graphs + after.misses - before.misses,
        apart=float((answer - wanted).abs().max() / wanted.abs().max()),
    )


def _nothing() -> None:
    """There is nothing to switch."""


def _switch(pooled: _Pooled, number: int, given: dict[str, Any]) -> float:
    """Seconds of one switch to another adapter, which the next step shows."""
    took_s = timed(lambda: pooled.switch(number % _ADAPTERS))
    pooled.step(given)
    return took_s


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--rows", type=int, default=2, help="of the denoiser's input: a picture with guidance has two")
    parser.add_argument("--latent", type=int, default=16, help="positions a side")
    parser.add_argument("--out", type=Path, default=RESULTS)
    given = parser.parse_args()
    quiet()
    with tempfile.TemporaryDirectory() as cache:
        # What an earlier run has compiled would make this one's look free.
        os.environ["TORCHINDUCTOR_CACHE_DIR"] = cache
        print(write(run(given.rounds, given.rows, given.latent), given.out, "compiled"))


if __name__ == "__main__":
    main()
