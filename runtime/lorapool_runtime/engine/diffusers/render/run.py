"""Running a pipeline: pictures of one shape, in one forward per step."""

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from lorapool_api.wire.request import Upscaler
from lorapool_runtime.engine.contract import Recipe
from lorapool_runtime.engine.diffusers.base.pipeline import first_line
from lorapool_runtime.engine.diffusers.families.traits import Task
from lorapool_runtime.engine.diffusers.regions.apply import Region, applied
from lorapool_runtime.engine.diffusers.render.arguments import arguments, keep_size, known_to, unused
from lorapool_runtime.engine.diffusers.render.passes.control import control_arguments, seeded
from lorapool_runtime.engine.diffusers.render.passes.image_prompts import attending, prompt_arguments
from lorapool_runtime.engine.diffusers.render.passes.residuals import adding
from lorapool_runtime.engine.diffusers.render.passes.second import (
    StepsOfPasses,
    check_hires,
    larger_latents,
    larger_pictures,
)
from lorapool_runtime.engine.diffusers.render.prompts import Encoded, together
from lorapool_runtime.engine.diffusers.render.schedulers import make_scheduler
from lorapool_runtime.engine.diffusers.render.tasks import Tasks, task_of
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
    """What a run made.

    Attributes:
        pixels: pictures x height x width x 3 on the host.
        finite: of each picture, whether all of its numbers were.
        latents: that the pictures came from.
        decode_s: how long the pipeline worked after the last step.
    """

    pixels: NDArray[np.uint8]
    finite: tuple[bool, ...]
    latents: torch.Tensor | None
    warning: str | None
    decode_s: float = 0.0


class Runner:
    """Runs the pipeline of a task. For the engine's thread. A scheduler is made for each run."""

    def __init__(self, tasks: Tasks, own_scheduler: Any, wait_for_render: Callable[[], None]) -> None:
        """`own_scheduler` is what the base came with; `wait_for_render` returns when the device has done its part."""
        self._tasks = tasks
        self._own_scheduler = own_scheduler
        self._wait_for_render = wait_for_render

    def run(self, recipe: Recipe, rows: Sequence[Row], watch: Watch, regions: Sequence[Region] = ()) -> Run:
        """Make the pictures; of the recipe all counts but prompts and seed.

        Args:
            regions: adapters that count in parts of the picture; those of one pass.

        Raises:
            RecipeError: what the pipeline or the scheduler refuses.
            Whatever `watch` raises.
        """
        hires = recipe.hires
        if hires is None:
            return self._pass(recipe, rows, watch, task_of(recipe), {"output_type": "pt"}, regions)
        check_hires(self._tasks.family, hires)
        steps = StepsOfPasses(watch, hires)
        smaller = replace(recipe, width=hires.width, height=hires.height)
        output = {"output_type": "pt" if hires.upscaler is Upscaler.PIXEL else "latent"}
        first = self._pass(smaller, rows, steps.first, Task.TEXT_TO_IMAGE, output)
        image = (
            larger_pictures(first.pixels, recipe)
            if first.latents is None or hires.upscaler is Upscaler.PIXEL
            else (larger_latents(first.latents, recipe, hires))
        )
        given = {"image": image, "strength": hires.strength, "output_type": "pt"}
        made = self._pass(replace(recipe, steps=hires.steps), rows, steps.second, Task.IMAGE_TO_IMAGE, given)
        finite = tuple(a and b for a, b in zip(first.finite, made.finite, strict=True))
        decode_s = first.decode_s + made.decode_s
        return replace(made, finite=finite, warning=first.warning or made.warning, decode_s=decode_s)

    @torch.inference_mode()
    def _pass(
        self,
        recipe: Recipe,
        rows: Sequence[Row],
        watch: Watch,
        task: Task,
        given: Mapping[str, Any],
        regions: Sequence[Region] = (),
    ) -> Run:
        """One run of the pipeline; `given`: what it is called with besides."""
        family, pipeline = self._tasks.family, self._tasks.controlled(task, recipe.controls)
        nets, prompts = self._tasks.nets(recipe.controls), self._tasks.image_prompts(recipe.controls)
        uses = [(prompt, control.scale) for control, prompt in prompts]
        last: torch.Tensor | None = None
        stepped_s: float | None = None

        def between_steps(pipeline: Any, step: int, timestep: Any, tensors: dict[str, Any]) -> dict[str, Any]:
            nonlocal last, stepped_s
            before, last = last, tensors["latents"]
            of = getattr(pipeline, "num_timesteps", recipe.steps)
            watch(step + 1, of, before, last, pipeline.scheduler)
            if step + 1 >= of:
                self._wait_for_render()  # else the steps that the device has yet to do would count as decoding
                stepped_s = time.monotonic()
            return {}

        pipeline.scheduler, warning = make_scheduler(
            self._own_scheduler, recipe.scheduler, recipe.timestep_spacing, family.defaults.sampler
        )
        warning = warning or unused(family, recipe)
        keep_size(pipeline, family, recipe)
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
            changed = (attending(denoiser, uses), adding(denoiser, residuals), applied(denoiser, regions))
            with ExitStack() as during:
                for context in (seeded(rows[0].seed, denoiser.device, nets), *changed):
                    during.enter_context(context)
                made = pipeline(**known_to(pipeline, wanted)).images
        except ValueError as error:  # how pipelines and schedulers refuse their arguments
            raise RecipeError(first_line(error)) from error
        finite = made.flatten(1).isfinite().all(dim=1).tolist()
        if given["output_type"] == "latent":
            return Run(np.empty((0, 0, 0, 3), np.uint8), tuple(finite), made, warning)
        # On the device: a quarter of the bytes to copy, and nothing for the host to do while the device waits.
        pixels = made.float().clamp(0, 1).mul(255).round().to(torch.uint8).permute(0, 2, 3, 1).cpu().numpy()
        decode_s = 0.0 if stepped_s is None else time.monotonic() - stepped_s
        return Run(pixels, tuple(finite), last, warning, decode_s)
