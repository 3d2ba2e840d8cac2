"""The diffusers engine: one warm pipeline, adapters put in force by setting pointers."""

import threading
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import asdict, replace
from functools import partial
from typing import Any, Final

import structlog
import torch

from lorapool_api.base_model import BaseModelSpec
from lorapool_api.conditions import Reason
from lorapool_api.running import Device
from lorapool_api.serving import ApplyMode, SchedulerName, Serving
from lorapool_runtime.engine.contract import BaseInfo, Order, Progress, Recipe, Rendering, Result, Use, untold
from lorapool_runtime.engine.diffusers import batching
from lorapool_runtime.engine.diffusers.accelerator import Accelerator, accelerator_of
from lorapool_runtime.engine.diffusers.costs import Costs, measure, prefers_merging
from lorapool_runtime.engine.diffusers.device import DeviceMemory
from lorapool_runtime.engine.diffusers.finish import Sitting, finished
from lorapool_runtime.engine.diffusers.pipeline import COMPONENTS, DTYPES, load_pipeline
from lorapool_runtime.engine.diffusers.plans import Plans, Stack
from lorapool_runtime.engine.diffusers.previews import Previews
from lorapool_runtime.engine.diffusers.prompts import Encoded, Prompts, are_alike, text_key
from lorapool_runtime.engine.diffusers.run import Row, Run, Runner
from lorapool_runtime.engine.diffusers.tasks import Tasks
from lorapool_runtime.errors import AdapterError, ModelError, RecipeError, Stopped
from lorapool_runtime.formats.weights import LoraAdapter, read_adapter
from lorapool_runtime.formats.words import word
from lorapool_runtime.layers.switchboard import Plan, Switchboard
from lorapool_runtime.layers.vocabulary import Vocabulary
from lorapool_runtime.store.files import AdapterFile, HostAdapter

log = structlog.stdlib.get_logger(__name__)

_WARM_UP_PIXELS: Final = 64
# Where the pool names none and nothing can be measured.
_USUAL_BUDGET_BYTES: Final = 4 * 1024**3
# Eight pixels a side for a latent, and most of a UNet's work two levels further down, on average.
_PIXELS_PER_POSITION: Final = 8 * 8 * 8


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
        self._model = model
        self._device = device
        self._device_bytes = _USUAL_BUDGET_BYTES if device_bytes is None else device_bytes
        self._serving = serving
        self._costs: Costs | None = None
        self._batching = batching.Batching()
        self._accelerator = accelerator_of(device) if accelerator is None else accelerator
        self._memory = DeviceMemory(self._accelerator, self._device_bytes)
        self._previews = Previews()
        self._pipeline: Any = None
        self._board: Switchboard
        self._plans: Plans
        self._vocabulary: Vocabulary
        self._prompts: Prompts
        self._runner: Runner
        self._active: tuple[str, ...] = ()
        self._rendering = threading.Lock()

    # ---- the base ----------------------------------------------------------------------------------------------

    def load(self, progress: Progress = untold) -> BaseInfo:
        start = time.monotonic()
        loaded = load_pipeline(self._model, self._device, progress)
        pipeline = self._pipeline = loaded.pipeline
        components = {n: c for n in COMPONENTS if isinstance(c := getattr(pipeline, n, None), torch.nn.Module)}
        if not {"unet", "transformer"} & components.keys():
            raise ModelError(f"{type(pipeline).__name__} has neither a unet nor a transformer")
        self._board = Switchboard(components)
        self._plans = Plans(self._board)
        self._vocabulary = Vocabulary(pipeline)
        self._prompts = Prompts(pipeline)
        self._runner = Runner(Tasks(pipeline), pipeline.scheduler)
        loaded_s = time.monotonic() - start
        start = time.monotonic()
        self._warm_up()
        stages_s = {"load": loaded_s, "warm_up": time.monotonic() - start}
        return BaseInfo(loaded.revision, loaded.size_bytes, self._board.modules(), stages_s)

    def _warm_up(self) -> None:
        """One small forward through all of it: what is lazy happens here, and what is broken shows here."""
        self._one_step(_WARM_UP_PIXELS, _WARM_UP_PIXELS, 1, decode=True)
        place = self._board.usual_linear("unet") or self._board.usual_linear("transformer")
        if self._serving.mode is ApplyMode.AUTO and place is not None:
            self._costs = measure(place)
            log.info("costs of applying adapters measured", **asdict(self._costs))
        if self._serving.max_batch > 1:
            usual = self._serving.defaults
            one_step = partial(self._one_step, usual.width, usual.height, decode=False)
            self._batching = batching.measure(one_step, self._serving.max_batch, usual.width * usual.height)
            log.info("batches measured", **asdict(self._batching))

    def _one_step(self, width: int, height: int, rows: int, *, decode: bool) -> None:
        recipe = Recipe("warm up", "", width, height, 1, 1.0, SchedulerName.EULER_A, seed=0, images=rows)
        prompts = self._prompts.encoded(recipe, text_key((), merge=False))
        self._runner.run(recipe, [Row(prompts, seed) for seed in recipe.seeds], lambda *_: None, decode=decode)

    # ---- adapters ----------------------------------------------------------------------------------------------

    def read(self, file: AdapterFile) -> LoraAdapter:
        return read_adapter(file, self._board, DTYPES[self._model.dtype], widths=self._vocabulary.widths)

    def on_device(self) -> frozenset[str]:
        return self._memory.identities()

    @property
    def device_bytes(self) -> int:
        return self._memory.size_bytes

    def pin(self, identities: Collection[str]) -> None:
        self._memory.pin(identities)

    def look_ahead(self, adapters: Sequence[HostAdapter]) -> None:
        for adapter in adapters:
            try:
                self._memory.bring(_lora(adapter))
            except AdapterError as error:
                log.info("looking ahead failed", adapter=adapter.identity[:12], message=error.message)

    def forget(self, identity: str) -> None:
        self._memory.forget(identity)
        # Idle: its pointers can go now. Else the end of what runs sees to it.
        if self._rendering.acquire(blocking=False):
            try:
                self._drop_forgotten()
            finally:
                self._rendering.release()

    def _drop_forgotten(self) -> None:
        if not self._memory.identities().issuperset(self._active):
            self._board.clear()
            self._active = ()
        self._plans.keep_only(self._memory.identities())

    def check(self) -> None:
        with self._rendering:
            self._board.clear()
            self._active = ()
            self._one_step(_WARM_UP_PIXELS, _WARM_UP_PIXELS, 1, decode=True)

    # ---- images ------------------------------------------------------------------------------------------------

    def batch(self, recipe: Recipe) -> int:
        return 1 if recipe.start else self._batching.rows_for(recipe.width * recipe.height)

    def mixes(self, adapter: HostAdapter) -> bool:
        can = self._serving.mode is not ApplyMode.MERGED and self._prompts.are_apart
        return can and _lora(adapter).mixes

    def render(self, orders: Sequence[Order], waiting: int = 0) -> Sequence[Result]:
        with self._rendering:
            try:
                return self._render(orders, waiting)
            except Stopped:
                return [Stopped() for _ in orders]
            finally:
                self._drop_forgotten()

    def _render(self, orders: Sequence[Order], waiting: int) -> Sequence[Result]:
        start = time.monotonic()
        for order in orders:
            _check_stack([_lora(use.adapter) for use in order.stack])
        in_use = tuple(dict.fromkeys(use.adapter.identity for order in orders for use in order.stack))
        self._memory.use(in_use)
        stacks = [self._residents(order.stack) for order in orders]
        self._plans.keep_only(self._memory.identities())
        loaded = time.monotonic()
        self._active = in_use
        if any(stack != stacks[0] for stack in stacks):
            prompts = self._switch_mixed(orders, stacks)
        else:
            prompts = self._switch_all(orders, stacks[0], waiting)
        if not are_alike(prompts):
            # Prompts of more or fewer chunks have no forward in common; padding one would change its picture.
            return [result for order in orders for result in self._render([order], waiting)]
        switched = time.monotonic()
        sittings = self._sittings(orders)
        runs = [self._sit(sitting, prompts) for sitting in sittings]
        inference_s = time.monotonic() - switched
        rows = max(len(sitting.rows) for sitting in sittings)

        def rendering(images: Any, warnings: Any) -> Rendering:
            return Rendering(images, loaded - start, switched - loaded, inference_s, warnings, rows)

        made = finished(orders, sittings, runs, rendering)
        return [self._with_warnings(order, result) for order, result in zip(orders, made, strict=True)]

    def _with_warnings(self, order: Order, result: Result) -> Result:
        cut = self._prompts.warnings(order.recipe)
        return replace(result, warnings=(*result.warnings, *cut)) if isinstance(result, Rendering) and cut else result

    def _residents(self, stack: Sequence[Use]) -> Stack:
        return tuple((self._memory.bring(_lora(use.adapter)), use.scale) for use in stack)

    def _switch_all(self, orders: Sequence[Order], stack: Stack, waiting: int) -> list[Encoded]:
        """Put the stack in force for all of them, and say what their prompts say with it."""
        forwards = sum(order.recipe.images for order in orders) * (1 + waiting)
        merge = self._merges(stack, orders[0].recipe, forwards)
        self._put_in_force(lambda: self._plans.get(stack, merge=merge))
        return [self._encoded(order.recipe, stack, merge=merge) for order in orders]

    def _switch_mixed(self, orders: Sequence[Order], stacks: Sequence[Stack]) -> list[Encoded]:
        """Say what each prompt says with its own text encoders, then put each stack in force for its own rows."""
        prompts = []
        for order, stack in zip(orders, stacks, strict=True):
            if text_key(stack, merge=False):
                self._put_in_force(partial(self._plans.get, stack, merge=False))
            else:
                self._board.clear()
            prompts.append(self._encoded(order.recipe, stack, merge=False))
        rows = [(stack, order.recipe.images) for order, stack in zip(orders, stacks, strict=True)]
        self._put_in_force(lambda: self._board.plan_rows(rows))
        return prompts

    def _merges(self, stack: Stack, recipe: Recipe, images: int) -> bool:
        """Whether to merge what could also be added at every step."""
        if self._costs is None:
            return self._serving.mode is ApplyMode.MERGED
        work = self._plans.work(stack)
        if work.elements * DTYPES[self._model.dtype].itemsize > self._device_bytes:
            return False
        rows = 2 if recipe.guidance_scale > 1 else 1
        positions = rows * recipe.width * recipe.height / _PIXELS_PER_POSITION
        return prefers_merging(self._costs, work, recipe.steps * images, positions)

    def _put_in_force(self, plan: Callable[[], Plan]) -> None:
        """What fails leaves the bare base in force. Raises: AdapterError."""
        try:
            self._board.switch(plan())
        except torch.OutOfMemoryError:
            self._board.release()
            self._accelerator.empty_cache()
        else:
            return
        try:
            self._board.switch(plan())
        except torch.OutOfMemoryError as error:
            self._board.release()
            message = "the device has no room for the merged weights that these adapters need"
            raise AdapterError(Reason.POD_FAILED, message, transient=True) from error

    def _encoded(self, recipe: Recipe, stack: Stack, *, merge: bool) -> Encoded:
        rows = next((loaded.words for loaded, _ in stack if loaded.words), {})
        words = tuple(word(i) for i in range(len(next(iter(rows.values()), ()))))
        with self._vocabulary.knowing(words, rows):
            return self._prompts.encoded(recipe, text_key(stack, merge=merge))

    def _sittings(self, orders: Sequence[Order]) -> list[Sitting]:
        """The pictures of each forward: all of several orders in one, those of one order in as many as it takes."""
        rows = [(i, seed) for i, order in enumerate(orders) for seed in order.recipe.seeds]
        most = len(rows) if len(orders) > 1 else self.batch(orders[0].recipe)
        chunks = [rows[i : i + most] for i in range(0, len(rows), most)]
        return [Sitting(orders, tuple(chunk), i, len(chunks)) for i, chunk in enumerate(chunks)]

    def _sit(self, sitting: Sitting, prompts: Sequence[Encoded]) -> Run:
        sitting.go_on()
        rows = [Row(prompts[i], seed) for i, seed in sitting.rows]
        run = self._runner.run(sitting.orders[0].recipe, rows, partial(sitting.watch, self._previews))
        if run.latents is not None and (any(order.previews for order in sitting.orders) or not self._previews.knows):
            self._previews.learn(run.latents[0], run.pixels[0])
        return run


def _check_stack(stack: Sequence[LoraAdapter]) -> None:
    """Raises: RecipeError for what has no meaning: two DoRAs would each want the last word on a weight's length."""
    if sum(adapter.has_gain for adapter in stack) > 1:
        raise RecipeError("a stack may hold one DoRA adapter at most: each of them sets the length of every row")
    if sum(bool(adapter.words) for adapter in stack) > 1:
        raise RecipeError(f"a stack may hold one adapter with words of its own at most: all of them call it {word(0)}")


def _lora(adapter: HostAdapter) -> LoraAdapter:
    if not isinstance(adapter, LoraAdapter):
        raise TypeError(f"{adapter.identity} was not read by this engine")
    return adapter
