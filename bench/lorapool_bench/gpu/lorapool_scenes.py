"""The scenes of lorapool's engine."""

import asyncio
import gc
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from statistics import median

from lorapool_api.kinds.serving import ApplyMode
from lorapool_bench.gpu.found import FoundFigures
from lorapool_bench.gpu.ours import MOST_ROWS, AnsweredRequest, BenchedPool
from lorapool_bench.gpu.result import TierSwitch, TrafficWay, latencies
from lorapool_bench.gpu.subject import GpuSubject, ZipfAdapters, by_zipf
from lorapool_bench.measure.machine import peak_bytes
from lorapool_bench.measure.spread import spread
from lorapool_runtime.adapters.file import AdapterFile, HostAdapter
from lorapool_runtime.engine.diffusers.device.accelerator import Accelerator
from lorapool_runtime.engine.diffusers.engine import DiffusersEngine

ROWS = (1, 2, MOST_ROWS)
# Those who ask at once, where the queue may choose.
_CLIENTS = 4


def _go_on() -> bool:
    """Nobody asks for a picture while the base falls asleep."""
    return False


@dataclass
class LorapoolScenes:
    """One base, through all of them.

    Attributes:
        requests: of the traffic.
        accelerator: of the engine; None: that of the subject's device.
    """

    subject: GpuSubject
    adapters: ZipfAdapters
    found: FoundFigures
    requests: int
    accelerator: Accelerator | None = None

    @cached_property
    def pool(self) -> BenchedPool:
        """Loaded when it is first wanted, and what that took is noted."""
        began = time.monotonic()
        # What a process does before it can load anything; this one has done it.
        command = [sys.executable, "-c", "import lorapool_runtime.engine.diffusers.load"]
        subprocess.run(command, check=True, capture_output=True)  # noqa: S603 -- no input
        imported_s = time.monotonic() - began
        pool = BenchedPool(self.subject, self.accelerator)
        first_s = pool.pictures(pool.engine, [None], 0)
        self.found.cold_start = {"import": imported_s, **pool.engine.info.stages_s, "first picture": first_s}
        return pool

    def batches(self) -> None:
        """Pictures of the base, with one adapter and with one each, by the pictures in a forward."""
        added, merged = (self.pool.of_mode(mode) for mode in (ApplyMode.UNMERGED, ApplyMode.MERGED))
        read = [self.pool.read(self.adapters.file(i)) for i in range(MOST_ROWS)]
        for rows in ROWS:
            one: list[HostAdapter | None] = [read[0]] * rows
            self._batch("base", "lorapool, the base", added, [None] * rows)
            self._batch("unmerged", "lorapool, an adapter, unmerged", added, one)
            self._batch("merged", "lorapool, an adapter, merged", merged, one)
            self.pool.free()
            if rows > 1:
                self._batch("mixed", "lorapool, an adapter each", added, [*read[:rows]])
        self.pool.free()

    def tiers(self) -> None:
        """Switches between two adapters, by where the next one is."""
        files = [self.adapters.file(i) for i in range(2)]
        for tier, mode in (
            ("device", ApplyMode.UNMERGED),
            ("host", ApplyMode.UNMERGED),
            ("disk", ApplyMode.UNMERGED),
            ("device", ApplyMode.MERGED),
        ):
            engine = self.pool.of_mode(mode)
            switches = asyncio.run(self._switches(engine, files, tier))
            words = f"from {tier}" + (", merged" if mode is ApplyMode.MERGED else "")
            self.found.switches.append(TierSwitch(words=words, switch=spread(switches)))
            self.pool.free()

    async def _switches(self, engine: DiffusersEngine, files: Sequence[AdapterFile], tier: str) -> list[float]:
        queue, switches = self.pool.queue(engine), []
        try:
            for i in range(len(files) + 2 * self.found.rounds):
                file = files[i % 2]
                if i >= len(files) and tier != "device":
                    engine.forget(file.identity)
                if i >= len(files) and tier == "disk":
                    queue.host.drop(file.identity)
                answered = await queue.picture(file)
                switches += [answered.switch_s] if i >= len(files) else []
        finally:
            await queue.close()
        return switches

    def traffic(self) -> None:
        """A hundred and thirty adapters by Zipf, through the queue, as a pool that says nothing serves them."""
        files = [self.adapters.file(i) for i in by_zipf(self.requests)]
        at_once = f"lorapool, {_CLIENTS} clients at once"
        self._serve("lorapool 1", "lorapool, one after the other", files, 1, self.pool.engine)
        self._serve(f"lorapool {_CLIENTS}", at_once, files, _CLIENTS, self.pool.engine)
        in_turn = f"{at_once}, no picture's end beside the next one's steps"
        self._serve("in turn", in_turn, files, _CLIENTS, self.pool.in_turn())

    def _serve(
        self, name: str, words: str, files: Sequence[AdapterFile], clients: int, engine: DiffusersEngine
    ) -> None:
        began = time.perf_counter()
        answered = asyncio.run(self._asked(files, clients, engine))
        self.found.traffic.append(
            TrafficWay(
                name=name,
                words=words,
                clients=clients,
                requests=len(files),
                adapters=len({file.identity for file in files}),
                images_per_s=len(files) / (time.perf_counter() - began),
                latency=latencies([a.took_s for a in answered]),
                tiers=dict(Counter(str(a.outcome.tier) for a in answered)),
                switch=spread([a.switch_s for a in answered]),
            )
        )
        self.pool.free()

    async def _asked(
        self, files: Sequence[AdapterFile], clients: int, engine: DiffusersEngine
    ) -> list[AnsweredRequest]:
        queue = self.pool.queue(engine)
        try:
            return await queue.all_of(files, clients)
        finally:
            await queue.close()

    def memory(self) -> None:
        """What each part takes; of the device where it has memory of its own."""
        pool, made = self.pool, self.found.memory
        made["base"] = pool.engine.info.size_bytes
        merged = pool.of_mode(ApplyMode.MERGED)
        adapter = pool.read(self.adapters.file(0))
        made["an adapter"] = adapter.size_bytes
        pool.pictures(merged, [adapter], 0)
        made["merged weights"] = merged.device_bytes - adapter.size_bytes
        pool.free()
        if pool.accelerator.memory() is None:
            made["the process, at most"] = peak_bytes()
            return
        for rows in ROWS:
            added = pool.of_mode(ApplyMode.UNMERGED)
            made[f"peak of {rows}, beside the base"] = pool.accelerator.peak_bytes(
                lambda rows=rows, added=added: pool.pictures(added, [None] * rows, 0)  # type: ignore[misc]
            )

    def sleep(self) -> None:
        """A base that sleeps and is asked for, beside the cold start. On a CPU its weights stay where they are."""
        pool, stages = self.pool, ("sleep", "wake", "first picture")
        took: list[tuple[float, ...]] = []
        for seed in range(self.found.rounds):
            asleep_s = pool.timed(lambda: pool.engine.sleep(_go_on))
            took.append((asleep_s, pool.timed(pool.engine.wake), pool.pictures(pool.engine, [None], seed)))
        self.found.wake = {stage: median(each) for stage, each in zip(stages, zip(*took, strict=True), strict=True)}

    def compiled(self) -> None:
        """The denoiser as a graph; the pool's other ways are measured before: it stays one."""
        engine = self.pool.of_mode(ApplyMode.MERGED, graphs=True)
        compile_s = self.pool.graph(engine)
        read = self.pool.read(self.adapters.file(0))
        self._batch("graph", "lorapool, compiled, the base", engine, [None], compile_s)
        self._batch("graph adapter", "lorapool, compiled, an adapter", engine, [read])

    def _batch(
        self,
        name: str,
        words: str,
        engine: DiffusersEngine,
        adapters: Sequence[HostAdapter | None],
        compile_s: float | None = None,
    ) -> None:
        def once(seed: int) -> float:
            return self.pool.pictures(engine, adapters, seed)

        self.found.time(name, words, len(adapters), once, compile_s)

    def close(self) -> None:
        """Give back what the engine holds."""
        pool: BenchedPool | None = self.__dict__.pop("pool", None)
        if pool is not None:
            pool.close()
            accelerator = pool.accelerator
            del pool
            gc.collect()  # modules and engines hold each other
            accelerator.empty_cache()
