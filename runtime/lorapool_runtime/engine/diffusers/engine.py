"""The diffusers engine: one warm pipeline, adapters put in force by setting pointers."""

import gc
import threading
import time
from collections.abc import Collection, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Final

import numpy as np
import structlog
import torch

from lorapool_api.kinds.base_model import BaseModelSpec
from lorapool_api.kinds.runtime import Device
from lorapool_api.kinds.serving import ApplyMode, SchedulerName, Serving
from lorapool_runtime.adapters.file import AdapterFile, HostAdapter
from lorapool_runtime.engine.contract import (
    Applied,
    BaseInfo,
    Modules,
    Progress,
    Recipe,
    Rendering,
    RenderRequest,
    Result,
    no_progress,
)
from lorapool_runtime.engine.diffusers.applying import Applying, lora
from lorapool_runtime.engine.diffusers.base.pipeline import COMPONENTS, first_line, load_pipeline
from lorapool_runtime.engine.diffusers.device.accelerator import Accelerator, accelerator_of
from lorapool_runtime.engine.diffusers.device.batching import Batching
from lorapool_runtime.engine.diffusers.device.faults import check_alive, is_full
from lorapool_runtime.engine.diffusers.device.residents import DeviceMemory
from lorapool_runtime.engine.diffusers.device.room import Room
from lorapool_runtime.engine.diffusers.device.vae import Vae
from lorapool_runtime.engine.diffusers.device.warm_up import Measured, small_side, warm_up
from lorapool_runtime.engine.diffusers.layers.embeddings import Vocabulary
from lorapool_runtime.engine.diffusers.layers.switchboard import Stack, Switchboard
from lorapool_runtime.engine.diffusers.render.batches import ForwardBatch, finished
from lorapool_runtime.engine.diffusers.render.previews import Previews
from lorapool_runtime.engine.diffusers.render.prompts import Encoded, Prompts, are_alike, text_key
from lorapool_runtime.engine.diffusers.render.run import Row, Run, Runner
from lorapool_runtime.engine.diffusers.render.tasks import Tasks
from lorapool_runtime.engine.diffusers.weights.embeddings import word
from lorapool_runtime.engine.diffusers.weights.read import LoraAdapter, read_adapter
from lorapool_runtime.errors import (
    AdapterError,
    DeviceLost,
    ModelError,
    RecipeError,
    RuntimeFailure,
    Stopped,
)

log = structlog.get_logger(__name__)

# Where the pool names none and nothing can be measured.
_USUAL_BUDGET_BYTES: Final = 4 * 1024**3


class DiffusersEngine:
    """See `engine.contract.Engine`."""

    def __init__(
        self,
        model: BaseModelSpec,
        device: Device,
        device_bytes: int | None,
        serving: Serving,
        accelerator: Accelerator | None = None,
    ) -> None:
        """`device_bytes` bounds what adapters take of the device; None: what is left of it."""
        self._model = model
        self._device = device
        self._device_bytes = device_bytes
        self._serving = serving
        self._accelerator = accelerator_of(device) if accelerator is None else accelerator
        self._memory = DeviceMemory(
            self._accelerator, _USUAL_BUDGET_BYTES if device_bytes is None else device_bytes, self._merged_bytes
        )
        self._previews = Previews()
        self._batching = Batching()
        self._pipeline: Any = None
        self._board: Switchboard
        self._applying: Applying
        self._vocabulary: Vocabulary
        self._prompts: Prompts
        self._runner: Runner
        self._vae: Vae
        self._dtype: torch.dtype
        self._active: tuple[str, ...] = ()
        self._rendering = threading.Lock()

    # ---- the base ----------------------------------------------------------------------------------------------

    def load(self, progress: Progress = no_progress) -> BaseInfo:
        self._unload()
        try:
            return self._loaded(progress)
        except RuntimeError as error:
            self._unload()
            if is_full(error):
                raise ModelError(f"the device has no room for the base model: {first_line(error)}") from error
            if isinstance(error, torch.AcceleratorError):
                raise DeviceLost(f"the device does not work: {first_line(error)}") from error
            raise
        except BaseException:
            self._unload()
            raise

    def _unload(self) -> None:
        """A base that did not get warm must not stand beside the next one."""
        for name in ("_board", "_applying", "_vocabulary", "_prompts", "_runner", "_vae"):
            self.__dict__.pop(name, None)
        had_one, self._pipeline = self._pipeline is not None, None
        if had_one:
            gc.collect()
            self._accelerator.empty_cache()

    def _loaded(self, progress: Progress) -> BaseInfo:
        start = time.monotonic()
        loaded = load_pipeline(self._model, self._device, progress, deterministic=self._serving.deterministic)
        pipeline = self._pipeline = loaded.pipeline
        components = {n: c for n in COMPONENTS if isinstance(c := getattr(pipeline, n, None), torch.nn.Module)}
        if not {"unet", "transformer"} & components.keys():
            raise ModelError(f"{type(pipeline).__name__} has neither a unet nor a transformer")
        self._dtype = loaded.dtype
        self._board = Switchboard(components)
        self._applying = Applying(
            self._board, self._memory, self._accelerator, self._serving.mode, loaded.dtype.itemsize
        )
        self._vocabulary = Vocabulary(pipeline)
        self._prompts = Prompts(pipeline)
        self._runner = Runner(Tasks(pipeline), pipeline.scheduler)
        self._vae = Vae(pipeline)
        loaded_s = time.monotonic() - start
        start = time.monotonic()
        measured = self._warm_up()
        stages_s = {"load": loaded_s, "warm_up": time.monotonic() - start}
        modules = self._board.modules()
        return BaseInfo(loaded.revision, loaded.size_bytes, modules, stages_s, measured.shortfall)

    def _warm_up(self) -> Measured:
        free = self._accelerator.empty_cache
        measured = warm_up(self._one_step, self._board, self._serving, self._accelerator, free)
        self._applying.costs = measured.costs
        self._batching = measured.batching
        if measured.whole_pixels is not None:
            self._vae.whole_up_to(measured.whole_pixels)
        if measured.budget_bytes is not None:
            if self._device_bytes is None:
                self._memory.bound_bytes = measured.budget_bytes
            elif self._device_bytes > measured.budget_bytes:
                log.warning(
                    "adapters.deviceBudget is more than the device has left",
                    device_bytes=self._device_bytes,
                    left_bytes=measured.budget_bytes,
                )
        return measured

    def _one_step(self, width: int, height: int, rows: int, *, tiled: bool | None = None) -> None:
        """Pictures of the bare base, in one step. Raises: ArithmeticError: they are not finite."""
        guidance = self._serving.defaults.guidance_scale
        recipe = Recipe("warm up", "", width, height, 1, guidance, SchedulerName.EULER_A, seed=0, images=rows)
        prompts = self._prompts.encoded(recipe, text_key((), merge=False))
        if tiled is None:
            self._vae.prepare(width * height)
        else:
            self._vae.tile(tiled=tiled)
        run = self._runner.run(recipe, [Row(prompts, seed) for seed in recipe.seeds], lambda *_: None)
        self._accelerator.synchronize()
        if not all(run.finite):
            log.warning("the base model makes pixels that are not finite", width=width, height=height)

    # ---- adapters ----------------------------------------------------------------------------------------------

    @property
    def modules(self) -> Modules:
        """The base's modules that adapters change, and their shapes."""
        return self._board.modules()

    def read(self, file: AdapterFile) -> LoraAdapter:
        return read_adapter(file, self._board, self._dtype, widths=self._vocabulary.widths)

    def on_device(self) -> frozenset[str]:
        return self._memory.identities()

    @property
    def device_bytes(self) -> int:
        return self._memory.size_bytes + self._merged_bytes()

    def _merged_bytes(self) -> int:
        board = self.__dict__.get("_board")
        return 0 if board is None else int(board.merged_bytes)

    def pin(self, identities: Collection[str]) -> None:
        self._memory.pin(identities)

    def prefetch(self, adapters: Sequence[HostAdapter]) -> None:
        for adapter in adapters:
            try:
                self._memory.load(lora(adapter))
            except (AdapterError, RuntimeError) as error:
                # Whatever it is, `render` meets it again, and there it is somebody's.
                log.info("prefetching failed", adapter=adapter.identity[:12], error=first_line(error))

    def forget(self, identity: str) -> None:
        self._memory.forget(identity)
        # Idle: its pointers can go now. Else the end of what runs sees to it.
        if self._rendering.acquire(blocking=False):
            try:
                self._drop_forgotten()
            finally:
                self._rendering.release()

    def _drop_forgotten(self) -> None:
        if "_applying" not in self.__dict__:
            return
        if not self._memory.identities().issuperset(self._active):
            self._applying.bare()
            self._active = ()
        self._applying.plans.keep_only(self._memory.identities())

    def check(self) -> None:
        with self._rendering:
            self._active = ()
            self._applying.free()
            self._canary()

    # ---- images ------------------------------------------------------------------------------------------------

    def batch(self, recipe: Recipe) -> int:
        return 1 if recipe.start else self._batching.rows_for(recipe.width * recipe.height)

    def mixes(self, adapter: HostAdapter) -> bool:
        can = self._serving.mode is not ApplyMode.MERGED and self._prompts.are_apart
        return can and lora(adapter).mixes

    def render(self, requests: Sequence[RenderRequest[HostAdapter]], waiting: int = 0) -> Sequence[Result]:
        with self._rendering:
            try:
                return Room(self._render, self._applying.free, self.batch).made(requests, waiting)
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
        self._applying.bare()
        side = small_side(self._serving)
        self._one_step(side, side, 1)

    def _render(
        self, requests: Sequence[RenderRequest[HostAdapter]], waiting: int, rows: int | None
    ) -> Sequence[Result]:
        start = time.monotonic()
        for request in requests:
            _check_stack([lora(scaled.adapter) for scaled in request.stack])
        in_use = tuple(dict.fromkeys(scaled.adapter.identity for request in requests for scaled in request.stack))
        self._memory.use(in_use)
        stacks = [self._applying.load(request.stack) for request in requests]
        loaded = time.monotonic()
        self._active = in_use
        pictures = sum(request.recipe.images for request in requests)
        if any(stack != stacks[0] for stack in stacks):
            prompts = self._prompts_apart(requests, stacks)
            each = [(stack, request.recipe.images) for request, stack in zip(requests, stacks, strict=True)]
            applied = self._applying.for_rows(each)
        else:
            applied = self._applying.for_all(stacks[0], requests[0].recipe, pictures * (1 + waiting))
            prompts = [
                self._encoded(request.recipe, stacks[0], merge=applied is Applied.MERGED) for request in requests
            ]
        if not are_alike(prompts):
            # Prompts of more or fewer chunks have no forward in common; padding one would change its picture.
            return [result for request in requests for result in self._render([request], waiting, rows)]
        switched = time.monotonic()
        batches = self._batches(requests, rows)
        runs = [self._run_batch(batch, prompts) for batch in batches]
        inference_s = time.monotonic() - switched
        most = max(len(batch.rows) for batch in batches)

        def rendering(images: Any, warnings: Any) -> Rendering:
            return Rendering(images, loaded - start, switched - loaded, inference_s, warnings, most, applied)

        made = finished(requests, batches, runs, rendering)
        return [self._with_warnings(request, result) for request, result in zip(requests, made, strict=True)]

    def _with_warnings(self, request: RenderRequest[HostAdapter], result: Result) -> Result:
        cut = self._prompts.warnings(request.recipe)
        return replace(result, warnings=(*result.warnings, *cut)) if isinstance(result, Rendering) and cut else result

    def _prompts_apart(self, requests: Sequence[RenderRequest[HostAdapter]], stacks: Sequence[Stack]) -> list[Encoded]:
        """What each prompt says with its own text encoders."""
        prompts = []
        for request, stack in zip(requests, stacks, strict=True):
            if text_key(stack, merge=False):
                self._applying.for_text(stack)
            else:
                self._applying.bare()
            prompts.append(self._encoded(request.recipe, stack, merge=False))
        return prompts

    def _encoded(self, recipe: Recipe, stack: Stack, *, merge: bool) -> Encoded:
        rows = next((scaled.adapter.words for scaled in stack if scaled.adapter.words), {})
        words = tuple(word(i) for i in range(len(next(iter(rows.values()), ()))))
        with self._vocabulary.knowing(words, rows):
            return self._prompts.encoded(recipe, text_key(stack, merge=merge))

    def _batches(self, requests: Sequence[RenderRequest[HostAdapter]], most: int | None = None) -> list[ForwardBatch]:
        """The pictures of each forward: all of several requests in one, those of one request in as many as it takes."""
        rows = [(i, seed) for i, request in enumerate(requests) for seed in request.recipe.seeds]
        if most is None:
            most = len(rows) if len(requests) > 1 else self.batch(requests[0].recipe)
        chunks = [rows[i : i + most] for i in range(0, len(rows), most)]
        return [ForwardBatch(requests, tuple(chunk), i, len(chunks)) for i, chunk in enumerate(chunks)]

    def _run_batch(self, batch: ForwardBatch, prompts: Sequence[Encoded]) -> Run:
        batch.raise_if_stopped()
        recipe = batch.requests[0].recipe
        self._vae.prepare(recipe.width * recipe.height)
        rows = [Row(prompts[i], seed) for i, seed in batch.rows]
        run = self._runner.run(recipe, rows, partial(batch.watch, self._previews))
        wanted = any(request.previews for request in batch.requests) or not self._previews.knows
        if run.latents is not None and run.finite[0] and wanted:
            self._previews.learn(run.latents[0], run.pixels[0] / np.float32(255))
        return run


def _check_stack(stack: Sequence[LoraAdapter]) -> None:
    """Raises: RecipeError for what has no meaning: two DoRAs would each want the last word on a weight's length."""
    if sum(adapter.has_gain for adapter in stack) > 1:
        raise RecipeError("a stack may hold one DoRA adapter at most: each of them sets the length of every row")
    if sum(bool(adapter.words) for adapter in stack) > 1:
        raise RecipeError(f"a stack may hold one adapter with words of its own at most: all of them call it {word(0)}")
