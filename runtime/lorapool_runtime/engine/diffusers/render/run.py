"""Running a pipeline: pictures of one shape, in one forward per step."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import cache, partial
from typing import Any

import torch

from lorapool_api.wire.request import Upscaler
from lorapool_runtime.engine.contract import Recipe
from lorapool_runtime.engine.diffusers.base.hub import first_line
from lorapool_runtime.engine.diffusers.device.accelerator import Accelerator, Moment
from lorapool_runtime.engine.diffusers.families.traits import Task
from lorapool_runtime.engine.diffusers.render.arguments import arguments, guide, keep_size, known_to, unused
from lorapool_runtime.engine.diffusers.render.passes.control import control_arguments, seeded
from lorapool_runtime.engine.diffusers.render.passes.image_prompts import attending, prompt_arguments
from lorapool_runtime.engine.diffusers.render.passes.residuals import adding
from lorapool_runtime.engine.diffusers.render.passes.scale_changes import BeforeStep, ScaleChanges
from lorapool_runtime.engine.diffusers.render.passes.second import (
    StepsOfPasses,
    check_hires,
    larger_latents,
    larger_pictures,
)
from lorapool_runtime.engine.diffusers.render.passes.step_cache import PassCache
from lorapool_runtime.engine.diffusers.render.pictures.pixels import Pictures, are_finite, coloured, packed, unpacked
from lorapool_runtime.engine.diffusers.render.prompts import Encoded, together
from lorapool_runtime.engine.diffusers.render.schedulers import make_scheduler
from lorapool_runtime.engine.diffusers.render.tasks import Tasks, task_of
from lorapool_runtime.engine.diffusers.render.waitless import waitless
from lorapool_runtime.errors import RecipeError

# (done, of all, latents before the step, latents after it, the scheduler): may raise to end the run.
Watch = Callable[[int, int, torch.Tensor | None, torch.Tensor, Any], None]


@dataclass(frozen=True)
class Row:
    """One picture of a batch."""

    prompts: Encoded
    seed: int


@dataclass(frozen=True)
class Run:
    """What a run made; some of it may still be on its way. For any thread.

    Attributes:
        pictures: waits for the device.
        decode_s: how long the device worked after the last steps; waits for it.
        latents: that the pictures came from.
        warnings: what was asked for and had no effect, and what is not exact.
    """

    pictures: Callable[[], Pictures]
    decode_s: Callable[[], float]
    latents: torch.Tensor | None
    warnings: tuple[str, ...]


@dataclass(frozen=True)
class _Pass:
    """One run of a pipeline: what it made, and of each picture whether it is finite, both on the device."""

    made: torch.Tensor
    finite: torch.Tensor
    latents: torch.Tensor | None
    warnings: tuple[str, ...]
    stepped: Moment
    ended: Moment


class Runner:
    """Runs the pipeline of a task. For the engine's thread. A scheduler is made for each run."""

    def __init__(
        self, tasks: Tasks, own_scheduler: Any, accelerator: Accelerator, cache: PassCache | None = None
    ) -> None:
        """`own_scheduler` is what the base came with; `cache` is for the steps of one pass; None: all run whole."""
        self._tasks = tasks
        self._own_scheduler = own_scheduler
        self._accelerator = accelerator
        self._cache = cache

    @torch.inference_mode()
    def run(self, recipe: Recipe, rows: Sequence[Row], watch: Watch, changes: ScaleChanges | None = None) -> Run:
        """Make the pictures; of the recipe all counts but prompts and seed.

        Args:
            changes: what else is active at later steps; None: nothing.

        Raises:
            RecipeError: what the pipeline or the scheduler refuses.
            Whatever `watch` raises.
        """
        hires, changes = recipe.hires, ScaleChanges() if changes is None else changes
        if hires is None:
            return self._made(self._pass(recipe, rows, watch, task_of(recipe), {"output_type": "pt"}, changes))
        check_hires(self._tasks.family, hires)
        steps = StepsOfPasses(watch, hires)
        smaller = replace(recipe, width=hires.width, height=hires.height)
        output = {"output_type": "pt" if hires.upscaler is Upscaler.PIXEL else "latent"}
        first = self._pass(smaller, rows, steps.first, Task.TEXT_TO_IMAGE, output, changes)
        if hires.upscaler is Upscaler.PIXEL:
            image: Any = larger_pictures(self._made(first).pictures().pixels, recipe)
        else:
            image = larger_latents(first.made, recipe, hires)
        given = {"image": image, "strength": hires.strength, "output_type": "pt"}
        larger = replace(recipe, steps=hires.steps)
        return self._made(first, self._pass(larger, rows, steps.second, Task.IMAGE_TO_IMAGE, given, changes))

    def _made(self, *passes: _Pass) -> Run:
        """The pictures of the last pass, on their way."""
        last, finite = passes[-1], passes[0].finite
        for each in passes[1:]:
            finite = finite & each.finite
        copied = self._accelerator.download(packed(coloured(last.made), finite))
        return Run(
            pictures=cache(partial(unpacked, copied, last.made.shape[-2:])),
            decode_s=lambda: sum(each.ended.since(each.stepped) for each in passes),
            latents=last.latents,
            warnings=tuple(dict.fromkeys(said for each in passes for said in each.warnings)),
        )

    def _pass(
        self,
        recipe: Recipe,
        rows: Sequence[Row],
        watch: Watch,
        task: Task,
        given: Mapping[str, Any],
        changes: ScaleChanges,
    ) -> _Pass:
        """One run of the pipeline; `given`: what it is called with besides."""
        family, pipeline = self._tasks.family, self._tasks.controlled(task, recipe.controls)
        nets, prompts = self._tasks.nets(recipe.controls), self._tasks.image_prompts(recipe.controls)
        uses = [(prompt, control.scale) for control, prompt in prompts]
        last: torch.Tensor | None = None
        stepped: Moment | None = None
        before_step: BeforeStep | None = None

        def between_steps(pipeline: Any, step: int, timestep: Any, tensors: dict[str, Any]) -> dict[str, Any]:
            nonlocal last, stepped
            before, last = last, tensors["latents"]
            of = getattr(pipeline, "num_timesteps", recipe.steps)
            watch(step + 1, of, before, last, pipeline.scheduler)
            if step + 1 >= of:
                stepped = self._accelerator.moment()
            elif before_step is not None:
                before_step(step + 1, of)
            return {}

        scheduler, warning = make_scheduler(
            self._own_scheduler, recipe.scheduler, recipe.timestep_spacing, family.defaults.sampler
        )
        pipeline.scheduler = waitless(scheduler, self._accelerator.send)
        caching = self._cache if changes.is_steady and self._cache and self._cache.is_for(recipe, task) else None
        said = (warning or unused(family, recipe), None if caching is None else caching.warning)
        keep_size(pipeline, family, recipe)
        guide(pipeline, family, recipe)
        generators = [torch.Generator("cpu").manual_seed(row.seed) for row in rows]
        wanted = {
            **arguments(family, recipe, together([row.prompts for row in rows])),
            "generator": generators if len(generators) > 1 else generators[0],
            "callback_on_step_end": between_steps,
            **control_arguments(pipeline, nets),
            **prompt_arguments(family.guidance, recipe, [control.image for control, _ in prompts], uses),
            **given,
        }
        try:
            denoiser = self._tasks.denoiser
            residuals = self._tasks.residuals(recipe.controls)
            changed = (attending(denoiser, uses), adding(denoiser, residuals))
            with ExitStack() as during:
                for context in (seeded(rows[0].seed, denoiser.device, nets), *changed):
                    during.enter_context(context)
                before_step = during.enter_context(changes.one_pass(denoiser))
                if caching is not None:
                    during.enter_context(caching.one_pass(denoiser))
                made = pipeline(**known_to(pipeline, wanted)).images
        except ValueError as error:  # how pipelines and schedulers refuse their arguments
            raise RecipeError(first_line(error)) from error
        ended = self._accelerator.moment()
        warnings = tuple(each for each in said if each)
        return _Pass(made, are_finite(made), last, warnings, ended if stepped is None else stepped, ended)
