"""The diffusers engine: one warm pipeline, adapters put in force by setting pointers."""

import inspect
import threading
import time
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, Final

import numpy as np
import structlog
import torch
from PIL import Image

from lorapool_api.conditions import Reason
from lorapool_api.pool import ApplyMode, BaseModelSpec, Device, SchedulerName
from lorapool_runtime.engine.contract import BaseInfo, Progress, Recipe, Rendering, Stop, Use, untold
from lorapool_runtime.engine.diffusers.costs import Costs, measure, prefers_merging, work_of
from lorapool_runtime.engine.diffusers.device import DeviceMemory
from lorapool_runtime.engine.diffusers.pipeline import COMPONENTS, DTYPES, first_line, load_pipeline
from lorapool_runtime.engine.diffusers.plans import Plans, Stack
from lorapool_runtime.engine.diffusers.prompts import Encoded, Prompts, text_key
from lorapool_runtime.engine.diffusers.schedulers import make_scheduler
from lorapool_runtime.errors import AdapterError, ModelError, RecipeError, Stopped
from lorapool_runtime.formats.weights import LoraAdapter, read_adapter
from lorapool_runtime.formats.words import word
from lorapool_runtime.layers.switchboard import Switchboard
from lorapool_runtime.layers.vocabulary import Vocabulary
from lorapool_runtime.store.files import AdapterFile

log = structlog.stdlib.get_logger(__name__)

_WARM_UP_PIXELS: Final = 64
# Eight pixels a side for a latent, and most of a UNet's work two levels further down, on average.
_PIXELS_PER_POSITION: Final = 8 * 8 * 8


class DiffusersEngine:
    """See `engine.contract.Engine`."""

    def __init__(
        self, model: BaseModelSpec, device: Device, device_bytes: int, mode: ApplyMode = ApplyMode.AUTO
    ) -> None:
        self._model = model
        self._device = device
        self._device_bytes = device_bytes
        self._mode = mode
        self._costs: Costs | None = None
        self._memory = DeviceMemory(torch.device(device.value), device_bytes)
        self._pipeline: Any = None
        self._own_scheduler: Any = None
        self._board: Switchboard
        self._plans: Plans
        self._vocabulary: Vocabulary
        self._prompts: Prompts
        self._active: tuple[str, ...] = ()
        self._rendering = threading.Lock()

    # ---- the base ----------------------------------------------------------------------------------------------

    def load(self, progress: Progress = untold) -> BaseInfo:
        start = time.monotonic()
        loaded = load_pipeline(self._model, self._device, progress)
        pipeline = loaded.pipeline
        components = {n: c for n in COMPONENTS if isinstance(c := getattr(pipeline, n, None), torch.nn.Module)}
        if not {"unet", "transformer"} & components.keys():
            raise ModelError(f"{type(pipeline).__name__} has neither a unet nor a transformer")
        self._board = Switchboard(components)
        self._plans = Plans(self._board)
        self._vocabulary = Vocabulary(pipeline)
        self._prompts = Prompts(pipeline)
        self._own_scheduler = pipeline.scheduler
        self._pipeline = pipeline
        loaded_s = time.monotonic() - start
        log.info("base model loaded", seconds=round(loaded_s, 3))
        start = time.monotonic()
        self._warm_up()
        stages_s = {"load": loaded_s, "warm_up": time.monotonic() - start}
        return BaseInfo(loaded.revision, loaded.size_bytes, self._board.modules(), stages_s)

    def _warm_up(self) -> None:
        """One small forward through all of it: what is lazy happens here, and what is broken shows here."""
        start = time.monotonic()
        recipe = Recipe(
            prompt="warm up",
            negative_prompt="",
            width=_WARM_UP_PIXELS,
            height=_WARM_UP_PIXELS,
            steps=1,
            guidance_scale=1.0,
            scheduler=SchedulerName.EULER_A,
            seed=0,
            images=1,
        )
        self._run(recipe, self._prompts.encoded(recipe, text_key((), merge=False)), 0, lambda: False)
        log.info("base model warmed up", seconds=round(time.monotonic() - start, 3))
        place = self._board.usual_linear("unet") or self._board.usual_linear("transformer")
        if self._mode is ApplyMode.AUTO and place is not None:
            self._costs = measure(place)
            log.info("costs of applying adapters measured", **asdict(self._costs))

    # ---- adapters ----------------------------------------------------------------------------------------------

    def read(self, file: AdapterFile) -> LoraAdapter:
        pinned = self._device is Device.CUDA
        dtype = DTYPES[self._model.dtype]
        return read_adapter(file, self._board, dtype, pinned=pinned, widths=self._vocabulary.widths)

    def on_device(self) -> frozenset[str]:
        return self._memory.identities()

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

    # ---- images ------------------------------------------------------------------------------------------------

    def render(self, recipe: Recipe, stack: Sequence[Use], stop: Stop, waiting: int = 0) -> Rendering:
        with self._rendering:
            try:
                return self._render(recipe, stack, stop, waiting)
            finally:
                self._drop_forgotten()

    def _render(self, recipe: Recipe, stack: Sequence[Use], stop: Stop, waiting: int) -> Rendering:
        start = time.monotonic()
        in_use = frozenset(use.adapter.identity for use in stack)
        adapters = [(_lora(use), use.scale) for use in stack]
        _check_stack(adapters)
        residents = tuple((self._memory.bring(adapter, in_use), scale) for adapter, scale in adapters)
        self._plans.keep_only(self._memory.identities())
        loaded = time.monotonic()
        merge = self._merges(residents, recipe, waiting)
        self._switch(residents, merge=merge)
        self._active = tuple(adapter.identity for adapter, _ in adapters)
        switched = time.monotonic()
        rows = next((loaded.words for loaded, _ in residents if loaded.words), {})
        words = tuple(word(i) for i in range(len(next(iter(rows.values()), ()))))
        with self._vocabulary.knowing(words, rows):
            prompts = self._prompts.encoded(recipe, text_key(residents, merge=merge))
        results = [self._run(recipe, prompts, seed, stop) for seed in recipe.seeds]
        images = tuple(_picture(pixels, stack) for pixels, _ in results)
        warnings = tuple(dict.fromkeys(w for _, w in results if w))
        return Rendering(images, loaded - start, switched - loaded, time.monotonic() - switched, warnings)

    def _merges(self, stack: Stack, recipe: Recipe, waiting: int) -> bool:
        """Whether to merge what could also be added at every step."""
        if self._costs is None:
            return self._mode is ApplyMode.MERGED
        work = work_of(stack)
        if work.elements * DTYPES[self._model.dtype].itemsize > self._device_bytes:
            return False
        forwards = recipe.steps * recipe.images * (1 + waiting)
        rows = 2 if recipe.guidance_scale > 1 else 1
        return prefers_merging(self._costs, work, forwards, rows * recipe.width * recipe.height / _PIXELS_PER_POSITION)

    def _switch(self, stack: Stack, *, merge: bool) -> None:
        """Put the stack in force; what fails leaves the bare base in force. Raises: AdapterError."""
        try:
            self._board.switch(self._plans.get(stack, merge=merge))
        except torch.OutOfMemoryError:
            self._board.release()
            torch.cuda.empty_cache()
        else:
            return
        try:
            self._board.switch(self._plans.get(stack, merge=merge))
        except torch.OutOfMemoryError as error:
            self._board.release()
            message = "the device has no room for the merged weights that these adapters need"
            raise AdapterError(Reason.POD_FAILED, message, transient=True) from error

    @torch.inference_mode()
    def _run(self, recipe: Recipe, prompts: Encoded, seed: int, stop: Stop) -> tuple[Any, str | None]:
        """(pixels as floats in height x width x 3, warning). One image at a time: its bytes depend on its seed only."""

        def between_steps(pipeline: Any, step: int, timestep: Any, tensors: dict[str, Any]) -> dict[str, Any]:
            if stop():
                raise Stopped
            return tensors

        if stop():
            raise Stopped
        self._pipeline.scheduler, warning = make_scheduler(self._own_scheduler, recipe.scheduler)
        wanted = {
            **prompts,
            "width": recipe.width,
            "height": recipe.height,
            "num_inference_steps": recipe.steps,
            "guidance_scale": recipe.guidance_scale,
            "generator": torch.Generator("cpu").manual_seed(seed),
            "output_type": "np",
            "callback_on_step_end": between_steps,
        }
        # Pipelines of other families lack some of these, for example a negative prompt.
        known = inspect.signature(self._pipeline.__call__).parameters
        try:
            result = self._pipeline(**{k: v for k, v in wanted.items() if k in known})
        except ValueError as error:  # how pipelines and schedulers refuse their arguments
            raise RecipeError(first_line(error)) from error
        return result.images[0], warning


def _check_stack(stack: Sequence[tuple[LoraAdapter, float]]) -> None:
    """Raises: RecipeError for what has no meaning: two DoRAs would each want the last word on a weight's length."""
    if sum(adapter.has_gain for adapter, _ in stack) > 1:
        raise RecipeError("a stack may hold one DoRA adapter at most: each of them sets the length of every row")
    if sum(bool(adapter.words) for adapter, _ in stack) > 1:
        raise RecipeError(f"a stack may hold one adapter with words of its own at most: all of them call it {word(0)}")


def _lora(use: Use) -> LoraAdapter:
    if not isinstance(use.adapter, LoraAdapter):
        raise TypeError(f"{use.key} was not read by this engine")
    return use.adapter


def _picture(pixels: Any, stack: Sequence[Use]) -> Image.Image:
    """The image; a forward that ran into infinity is an error, not a black square."""
    if not np.isfinite(pixels).all():
        if not stack:
            raise ArithmeticError("the base model made pixels that are not finite")
        scales = ", ".join(f"{use.key} at {use.scale:g}" for use in stack)
        raise AdapterError(Reason.INVALID_WEIGHTS, f"with {scales} the image is not finite; try smaller scales")
    return Image.fromarray((np.clip(pixels, 0, 1) * 255).round().astype(np.uint8))
