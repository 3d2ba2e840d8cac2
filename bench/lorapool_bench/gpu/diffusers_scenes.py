"""The scenes of diffusers' own pipeline."""

import gc
from dataclasses import dataclass
from functools import partial

from lorapool_bench.gpu.found import FoundFigures
from lorapool_bench.gpu.lorapool_scenes import ROWS
from lorapool_bench.gpu.subject import GpuSubject, ZipfAdapters, by_zipf
from lorapool_bench.gpu.theirs import Theirs
from lorapool_runtime.engine.diffusers.device.accelerator import accelerator_of


@dataclass
class DiffusersScenes:
    """Each on a pipeline of its own: what was loaded before must leave no trace."""

    subject: GpuSubject
    adapters: ZipfAdapters
    found: FoundFigures
    requests: int

    def diffusers(self) -> None:
        """Its pipeline, eager: the base, and an adapter added by PEFT."""
        theirs = self._theirs()
        for rows in ROWS:
            self.found.time("diffusers", "diffusers, the base", rows, partial(theirs.pictures, rows))
        theirs.load(self.adapters.file(0))
        for rows in ROWS:
            self.found.time("peft", "diffusers, an adapter by PEFT", rows, partial(theirs.pictures, rows))

    def diffusers_traffic(self) -> None:
        """The same requests, by the article's flow and by hotswap."""
        files = [self.adapters.file(i) for i in by_zipf(self.requests)]
        theirs = self._theirs()
        theirs.pictures(1)
        self.found.serve("article", "diffusers, the article's flow", files, lambda: theirs.article(files))
        way = theirs.first_of_hotswap(files[0])
        self.found.serve("hotswap", "diffusers, hotswap", files, lambda: theirs.hotswap(way, files))

    def diffusers_compiled(self) -> None:
        """Its UNet compiled, the base."""
        theirs = self._theirs()
        compile_s = theirs.compile()
        self.found.time("diffusers graph", "diffusers, compiled, the base", 1, partial(theirs.pictures, 1), compile_s)

    def diffusers_compiled_hotswap(self) -> None:
        """Its UNet compiled with adapters that take each other's place."""
        files = [self.adapters.file(i) for i in by_zipf(self.requests)]
        theirs = self._theirs()
        way = theirs.first_of_hotswap(files[0])
        compile_s = theirs.compile()
        words = "diffusers, compiled, an adapter that can be hotswapped"
        self.found.time("hotswap graph", words, 1, partial(theirs.pictures, 1), compile_s)
        self.found.serve("hotswap graph", "diffusers, compiled, hotswap", files, lambda: theirs.hotswap(way, files))

    def _theirs(self) -> Theirs:
        """A pipeline anew. The last one is nobody's by now, and the device may have room for one."""
        gc.collect()
        accelerator_of(self.subject.device).empty_cache()
        return Theirs(self.subject)
