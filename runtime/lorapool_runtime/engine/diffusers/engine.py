"""The diffusers engine: one warm pipeline, adapters activated by setting pointers."""

import threading
from collections.abc import Collection, Sequence
from dataclasses import replace
from functools import cache, partial

import structlog
from PIL.Image import Image

from lorapool_api.kinds.serving import ApplyMode
from lorapool_runtime.adapters.file import AdapterFile, HostAdapter
from lorapool_runtime.engine.compile_figures import CompileFigures
from lorapool_runtime.engine.contract import BaseInfo, Recipe, RenderRequest, Stop
from lorapool_runtime.engine.diffusers.activation import Activation
from lorapool_runtime.engine.diffusers.activator import Activator, check_stack, lora
from lorapool_runtime.engine.diffusers.base.hub import first_line
from lorapool_runtime.engine.diffusers.device.faults import check_alive
from lorapool_runtime.engine.diffusers.device.out_of_memory import MemoryRetries
from lorapool_runtime.engine.diffusers.device.residents import DeviceMemory
from lorapool_runtime.engine.diffusers.device.warm_up import Measured, small_side
from lorapool_runtime.engine.diffusers.families.traits import Latents
from lorapool_runtime.engine.diffusers.host_threads import one_thread
from lorapool_runtime.engine.diffusers.parts import PipelineParts
from lorapool_runtime.engine.diffusers.render.batches import ForwardBatch, batches_of, unfinished
from lorapool_runtime.engine.diffusers.render.passes.scale_changes import ScaleChanges
from lorapool_runtime.engine.diffusers.render.pictures.previews import LatentPreview
from lorapool_runtime.engine.diffusers.render.prompts import Encoded, are_alike
from lorapool_runtime.engine.diffusers.render.run import Row, Run
from lorapool_runtime.engine.diffusers.render.stopwatch import Stopwatch
from lorapool_runtime.engine.diffusers.sleep import EngineSleep
from lorapool_runtime.engine.diffusers.weights.read import LoraAdapter, read_adapter
from lorapool_runtime.engine.diffusers.weights.rounding import merge_loss
from lorapool_runtime.engine.result import Rendering, Result
from lorapool_runtime.errors import AdapterError, RuntimeFailure, Stopped

log = structlog.get_logger(__name__)


class DiffusersEngine:
    """See `engine.contract.WarmEngine`; `load_engine` makes it."""

    def __init__(self, parts: PipelineParts, info: BaseInfo, measured: Measured, bound_bytes: int) -> None:
        """`bound_bytes` bounds what adapters take of the device."""
        self.info = info
        self.parts = parts
        self._serving = serving = parts.serving
        self._prompts = parts.prompts
        self._batching = measured.batching
        self.memory = DeviceMemory(parts.accelerator, bound_bytes, self._applied_bytes)
        self.activator = Activator(
            parts.board, self.memory, parts.accelerator, serving.mode, parts.dtype.itemsize, measured.costs
        )
        self._activation = Activation(parts, self.activator)
        self._preview = LatentPreview(square=1 if parts.family.latents is Latents.TOKENS else 2)
        self._active: tuple[str, ...] = ()
        self._rendering = threading.Lock()
        self._sleeper = EngineSleep(parts, self.activator, self._rendering)

    # ---- adapters ----------------------------------------------------------------------------------------------

    def read(self, file: AdapterFile) -> LoraAdapter:
        return read_adapter(file, self.parts.board, self.parts.dtype, widths=self.parts.embeddings.widths)

    def on_device(self) -> frozenset[str]:
        return self.memory.identities()

    @property
    def compiled(self) -> CompileFigures | None:
        return None if self.parts.compiled is None else self.parts.compiled.figures

    @property
    def device_bytes(self) -> int:
        return self.memory.size_bytes + self._applied_bytes()

    @property
    def device_evictions(self) -> int:
        return self.memory.evictions

    def _applied_bytes(self) -> int:
        return self.activator.applied_bytes + self.parts.pair_bytes

    def pin(self, identities: Collection[str]) -> None:
        self.memory.pin(identities)

    def prefetch(self, adapters: Sequence[HostAdapter]) -> None:
        for adapter in adapters:
            try:
                self.memory.load(lora(adapter))
            except (AdapterError, RuntimeError) as error:
                # Whatever it is, `render` meets it again, and there it is somebody's.
                log.info("prefetching failed", adapter=adapter.identity[:12], error=first_line(error))

    @one_thread()
    def forget(self, identity: str) -> None:
        self.memory.forget(identity)
        # Idle: its pointers can go now. Else the end of what runs sees to it.
        if self._rendering.acquire(blocking=False):
            try:
                self._drop_forgotten()
            finally:
                self._rendering.release()

    def _drop_forgotten(self) -> None:
        if not self.memory.identities().issuperset(self._active):
            self.activator.bare()
            self._active = ()
        self.activator.plans.keep_only(self.memory.identities())

    def merge_loss(self, adapter: HostAdapter, stop: Stop) -> float | None:
        here = lora(adapter)
        loss = merge_loss(here.device_adapter(here.flat).deltas, stop)
        self.activator.note_loss(here.identity, loss)
        return loss

    def check(self) -> None:
        with self._rendering:
            self._active = ()
            self.activator.free()
            self._canary()

    def flagged(self, images: Sequence[Image]) -> Sequence[bool]:
        return self.parts.flagged(images)

    def sleep(self, stop: Stop) -> None:
        self._sleeper.sleep(stop)

    def wake(self) -> None:
        self._sleeper.wake()

    # ---- images ------------------------------------------------------------------------------------------------

    def batch(self, recipe: Recipe) -> int:
        alone = recipe.start or recipe.controls or self._serving.step_cache
        return 1 if alone else self._batching.rows_for(recipe.width * recipe.height)

    def mixes(self, adapter: HostAdapter) -> bool:
        can = self._serving.mode is not ApplyMode.MERGED and self._prompts.are_apart
        return can and self._serving.step_cache is None and lora(adapter).mixes

    def render(self, requests: Sequence[RenderRequest[HostAdapter]], waiting: int = 0) -> Sequence[Result]:
        with self._rendering:
            try:
                return MemoryRetries(self._render, self.activator.free, self.batch).render(requests, waiting)
            except Stopped:
                return [Stopped() for _ in requests]
            except RuntimeFailure:
                raise
            except Exception as error:
                check_alive(error, self._canary)
                raise
            finally:
                self._drop_forgotten()

    def _canary(self) -> None:
        """A small picture of the bare base, which was warmed up with it."""
        self.activator.bare()
        side = small_side(self._serving)
        self.parts.one_step(side, side, 1)

    def _render(
        self, requests: Sequence[RenderRequest[HostAdapter]], waiting: int, rows: int | None
    ) -> Sequence[Result]:
        watch = Stopwatch(self.parts.accelerator.moment)
        for request in requests:
            check_stack([lora(scaled.adapter) for scaled in request.stack])
        in_use = tuple(dict.fromkeys(scaled.adapter.identity for request in requests for scaled in request.stack))
        there = self.memory.identities()
        self.memory.use(in_use)
        stacks = [self.activator.load(request.stack) for request in requests]
        watch.lap("load")
        self._active = in_use
        pictures = sum(request.recipe.images for request in requests)
        active = self._activation.of(requests, stacks, pictures * (1 + waiting), watch)
        if not are_alike(active.prompts):
            # Prompts of more or fewer chunks have no forward in common; padding one would change its picture.
            return [result for request in requests for result in self._render([request], waiting, rows)]
        batches = batches_of(requests, self.batch(requests[0].recipe) if len(requests) == 1 and rows is None else rows)
        runs = [self._run_batch(batch, active.prompts, active.changes) for batch in batches]
        watch.lap("inference")
        # While the device works; whoever finishes a request reads nothing of the engine.
        cut = [self._prompts.warnings(request.recipe) for request in requests]
        loads = [len({s.adapter.identity for s in request.stack}.difference(there)) for request in requests]

        def rendering(index: int, images: tuple[Image, ...], warnings: tuple[str, ...]) -> Rendering:
            return Rendering(
                images,
                load_s=watch.seconds("load"),
                switch_s=watch.seconds("switch"),
                inference_s=watch.seconds("inference"),
                warnings=(*warnings, *cut[index]),
                rows=max(len(batch.rows) for batch in batches),
                applied=active.applied,
                prompt_s=watch.seconds("prompt"),
                decode_s=sum(run.decode_s() for run in runs),
                loads=loads[index],
            )

        return unfinished(requests, batches, runs, rendering)

    def _run_batch(self, batch: ForwardBatch, prompts: Sequence[Encoded], changes: ScaleChanges) -> Run:
        batch.raise_if_stopped()
        recipe = batch.requests[0].recipe
        self.parts.vae.prepare(recipe.width * recipe.height)
        rows = [Row(prompts[i], seed) for i, seed in batch.rows]
        download = self.parts.accelerator.download
        with self.parts.one_run(recipe):
            run = self.parts.runner.run(recipe, rows, partial(batch.watch, self._preview, download), changes)
        wanted = any(request.previews for request in batch.requests) or not self._preview.is_fitted
        if run.latents is None or not wanted:
            return run
        learning = partial(self._preview.learn, run.pictures, download(run.latents[0]))
        return replace(run, pictures=cache(learning), latents=None)
