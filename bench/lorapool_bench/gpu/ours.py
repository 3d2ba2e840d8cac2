"""lorapool's engine, and its queue in front of it where latency counts."""

import asyncio
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Final, TypeVar

from lorapool_api.kinds.serving import ApplyMode, CompileMode, Serving, ServingDefaults, ServingLimits
from lorapool_bench.gpu.subject import GpuSubject
from lorapool_runtime.adapters.file import AdapterFile, HostAdapter, ScaledAdapter
from lorapool_runtime.catalog.host.cache import HostCache
from lorapool_runtime.catalog.host.readers import Readers
from lorapool_runtime.engine.contract import RenderRequest
from lorapool_runtime.engine.diffusers.compiled.make import compiled_denoiser
from lorapool_runtime.engine.diffusers.device.accelerator import Accelerator, accelerator_of
from lorapool_runtime.engine.diffusers.device.batching import Batching
from lorapool_runtime.engine.diffusers.device.warm_up import Measured
from lorapool_runtime.engine.diffusers.engine import DiffusersEngine
from lorapool_runtime.engine.diffusers.load import load_engine
from lorapool_runtime.engine.result import Result, Unfinished
from lorapool_runtime.errors import RuntimeFailure
from lorapool_runtime.queue.dispatcher import Dispatcher
from lorapool_runtime.queue.entry import Outcome

MOST_ROWS: Final = 4
_HOST_BYTES: Final = 16 * 2**30
_TIMEOUT_S: Final = 600.0
_GRAPH_S: Final = 600.0
T = TypeVar("T")


class EndsInTurn(DiffusersEngine):
    """Finishes pictures on its own thread: what the product does beside the next ones' steps waits for its turn."""

    def render(self, requests: Sequence[RenderRequest[HostAdapter]], waiting: int = 0) -> Sequence[Result]:
        made = super().render(requests, waiting)
        return [result.finish() if isinstance(result, Unfinished) else result for result in made]


class BenchedPool:
    """One base, loaded by the product's own code, and its engine's thread, on which all of it is done."""

    def __init__(self, subject: GpuSubject, accelerator: Accelerator | None = None) -> None:
        """`accelerator`: None: that of the subject's device."""
        self.subject = subject
        self.accelerator = accelerator_of(subject.device) if accelerator is None else accelerator
        self._thread = ThreadPoolExecutor(1, "engine")
        side = subject.side
        usual = ServingDefaults(width=side, height=side, steps=subject.steps, guidance_scale=subject.guidance_scale)
        limits = ServingLimits(pixels=side * side, images=MOST_ROWS)
        serving = Serving(max_batch=MOST_ROWS, defaults=usual, limits=limits)

        def load() -> DiffusersEngine:
            return load_engine(subject.spec, subject.device, None, serving, accelerator=self.accelerator)

        self.engine = self.on_thread(load)

    def on_thread(self, work: Callable[[], T]) -> T:
        return self._thread.submit(work).result()

    def timed(self, work: Callable[[], object]) -> float:
        """Seconds of it on the engine's thread, until the device has done it."""

        def done() -> float:
            began = time.perf_counter()
            work()
            self.accelerator.synchronize()
            return time.perf_counter() - began

        return self.on_thread(done)

    def read(self, file: AdapterFile) -> HostAdapter:
        return self.engine.read(file)

    def in_turn(self) -> DiffusersEngine:
        """The engine, but with each picture at its end before the next one is begun."""
        return EndsInTurn(self.engine.parts, self.engine.info, self._measured(), self.engine.memory.bound_bytes)

    def _measured(self) -> Measured:
        return Measured(self.engine.activator.costs, Batching(MOST_ROWS, self.subject.side**2))

    def of_mode(self, mode: ApplyMode, *, graphs: bool = False) -> DiffusersEngine:
        """Another engine on the same base, that applies adapters so, and batches as many pictures as it is given.

        Args:
            graphs: compiled, for good: the base's denoiser is another one from then on.
        """
        parts, memory = self.engine.parts, self.engine.memory
        parts = replace(parts, serving=parts.serving.model_copy(update={"mode": mode}))
        if graphs:
            # On the engine's thread, as in a pod: it copies weights, and a thread that did keeps OpenMP's helpers.
            made = self.on_thread(lambda: compiled_denoiser(parts.pipeline, parts.board, CompileMode.DEFAULT))
            return DiffusersEngine(
                replace(parts, compiled=made), self.engine.info, self._measured(), memory.bound_bytes
            )
        return DiffusersEngine(parts, self.engine.info, self._measured(), memory.bound_bytes)

    def pictures(self, engine: DiffusersEngine, adapters: Sequence[HostAdapter | None], seed: int) -> float:
        """Seconds that one batch takes, a picture with each of these; None: of the bare base."""
        requests = [
            RenderRequest(self.subject.recipe(seed + i), () if adapter is None else (ScaledAdapter(adapter, 1.0),))
            for i, adapter in enumerate(adapters)
        ]
        return self.on_thread(lambda: _rendered(engine, requests))

    def graph(self, engine: DiffusersEngine) -> float:
        """Seconds until the engine has a graph for one picture. Raises: TimeoutError."""
        began = time.monotonic()
        while not (engine.compiled and engine.compiled.graphs):
            if time.monotonic() - began > _GRAPH_S:
                raise TimeoutError("the denoiser was not compiled in time")
            self.pictures(engine, [None], 0)
        return time.monotonic() - began

    def free(self) -> None:
        """No adapter on the device, no merged weight."""
        self.on_thread(self.engine.activator.free)

    def close(self) -> None:
        self._thread.shutdown()

    def queue(self, engine: DiffusersEngine) -> "BenchedQueue":
        """Needs a running event loop."""
        return BenchedQueue(self.subject, engine, self._thread)


@dataclass(frozen=True)
class AnsweredRequest:
    """A request that was answered, after so many seconds."""

    took_s: float
    outcome: Outcome

    @property
    def switch_s(self) -> float:
        """What it took to have its adapter active, from wherever it was."""
        made = self.outcome.rendering
        return self.outcome.read_s + made.load_s + made.switch_s


class BenchedQueue:
    """The product's queue before an engine, with adapters in host memory as a pod keeps them. On the event loop."""

    def __init__(self, subject: GpuSubject, engine: DiffusersEngine, thread: ThreadPoolExecutor) -> None:
        self._subject = subject
        self._prefetch = ThreadPoolExecutor(1, "prefetch")
        self._readers = Readers(engine.read)
        self.host = HostCache(_HOST_BYTES, self._readers)
        most = 64
        self._finish = ThreadPoolExecutor(1, "finish")
        self._dispatcher = Dispatcher(
            lambda: engine, thread, self._prefetch, self._finish, self.host, self._load, most, _TIMEOUT_S
        )
        self._serving = asyncio.create_task(self._dispatcher.run())
        self._made = 0

    async def _load(self, scaled: ScaledAdapter[AdapterFile]) -> HostAdapter:
        return await self.host.load(scaled.adapter)

    async def picture(self, file: AdapterFile) -> AnsweredRequest:
        """Raises: RequestError."""
        self._made += 1
        request = RenderRequest(self._subject.recipe(self._made), (ScaledAdapter(file, 1.0, file.path.stem),))
        began = time.perf_counter()
        outcome = await self._dispatcher.render(request)
        return AnsweredRequest(time.perf_counter() - began, outcome)

    async def all_of(self, files: Sequence[AdapterFile], clients: int) -> list[AnsweredRequest]:
        """So many clients take them off one list, each the next when it has its picture."""
        rest, answered = iter(files), []

        async def client() -> None:
            for file in rest:
                answered.append(await self.picture(file))

        async with asyncio.TaskGroup() as group:
            for _ in range(clients):
                group.create_task(client())
        return answered

    async def close(self) -> None:
        self._serving.cancel()
        await asyncio.gather(self._serving, return_exceptions=True)
        self._readers.close()
        self._prefetch.shutdown()
        self._finish.shutdown()


def _rendered(engine: DiffusersEngine, requests: Sequence[RenderRequest[HostAdapter]]) -> float:
    began = time.perf_counter()
    for result in engine.render(requests):
        if isinstance(result, RuntimeFailure):
            raise result
        made = result.finish() if isinstance(result, Unfinished) else result
        if not made.images:
            raise ValueError("a request without a picture")
    return time.perf_counter() - began
