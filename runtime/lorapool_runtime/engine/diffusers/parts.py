"""What the engine works with in a pipeline of diffusers: the parts of a base that is on its device."""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from typing import Any

import structlog
import torch
from PIL import Image

from lorapool_api.rules.usual import CompleteServing
from lorapool_runtime.engine.contract import Recipe
from lorapool_runtime.engine.diffusers.base.pipeline import COMPONENTS, LoadedPipeline
from lorapool_runtime.engine.diffusers.checker.own import OwnChecker
from lorapool_runtime.engine.diffusers.compiled.denoiser import CompiledDenoiser
from lorapool_runtime.engine.diffusers.compiled.make import compiled_denoiser
from lorapool_runtime.engine.diffusers.device.accelerator import Accelerator
from lorapool_runtime.engine.diffusers.device.vae import Vae
from lorapool_runtime.engine.diffusers.families.traits import FamilyTraits, Task
from lorapool_runtime.engine.diffusers.layers.embeddings import TokenEmbeddings
from lorapool_runtime.engine.diffusers.layers.switchboard import Stack, Switchboard
from lorapool_runtime.engine.diffusers.regions.masked import MaskedStack, masked
from lorapool_runtime.engine.diffusers.render.passes.step_cache import pass_cache
from lorapool_runtime.engine.diffusers.render.prompts import Prompts, text_key
from lorapool_runtime.engine.diffusers.render.run import Row, Runner
from lorapool_runtime.engine.diffusers.render.tasks import Tasks
from lorapool_runtime.engine.passes import Start
from lorapool_runtime.errors import ModelError

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class PipelineParts:
    """A pipeline, its modules wrapped, and what works on it. For the engine's thread.

    Attributes:
        modules: all that have weights on the device, those of controls too.
        checker: of content, the base's own; None: nobody wants it.
        stays: why they cannot leave the device while nobody asks; None: they can.
    """

    pipeline: Any
    family: FamilyTraits
    dtype: torch.dtype
    board: Switchboard
    embeddings: TokenEmbeddings
    prompts: Prompts
    tasks: Tasks
    runner: Runner
    vae: Vae
    serving: CompleteServing
    accelerator: Accelerator
    compiled: CompiledDenoiser | None = None
    modules: tuple[torch.nn.Module, ...] = ()
    checker: OwnChecker | None = None
    stays: str | None = None

    @classmethod
    def of(
        cls,
        loaded: LoadedPipeline,
        serving: CompleteServing,
        accelerator: Accelerator,
        checker: OwnChecker | None = None,
    ) -> "PipelineParts":
        """The parts of a pipeline, whose modules are wrapped here. Raises: ModelError."""
        pipeline = loaded.pipeline
        components = {n: c for n in COMPONENTS if isinstance(c := getattr(pipeline, n, None), torch.nn.Module)}
        if not {"unet", "transformer"} & components.keys():
            raise ModelError(f"{type(pipeline).__name__} has neither a unet nor a transformer")
        board = Switchboard(components, blocks=loaded.family.blocks)
        tasks = Tasks(pipeline, loaded.family, loaded.controls)
        return cls(
            pipeline=pipeline,
            family=loaded.family,
            dtype=loaded.dtype,
            board=board,
            embeddings=TokenEmbeddings(pipeline),
            prompts=Prompts(pipeline),
            tasks=tasks,
            runner=Runner(tasks, pipeline.scheduler, accelerator, pass_cache(serving, loaded.family)),
            vae=Vae(pipeline),
            serving=serving,
            accelerator=accelerator,
            compiled=compiled_denoiser(pipeline, board, serving.compile),
            modules=tuple(
                part
                for part in (*pipeline.components.values(), *loaded.controls.values(), checker and checker.model)
                if isinstance(part, torch.nn.Module)
            ),
            checker=checker,
        )

    def one_run(self, recipe: Recipe) -> AbstractContextManager[None]:
        """While it lasts, the denoiser runs one way: by its graphs, where they are what it is for this recipe."""
        others = len(recipe.controls) - len(self.tasks.nets(recipe.controls))
        if self.compiled is None or recipe.masks or others:
            return nullcontext()
        return self.compiled.one_run()

    def flagged(self, images: Sequence[Image.Image]) -> Sequence[bool]:
        """See `WarmEngine.flagged`. Raises: ModelError: it was loaded without a checker."""
        if self.checker is None:
            raise ModelError("the base was loaded without its checker")
        return self.checker.flagged(images)

    @property
    def pair_bytes(self) -> int:
        """Memory for pairs that graphs add, of the adapters' budget."""
        return 0 if self.compiled is None else self.compiled.pair_bytes

    def masked(self, stack: Stack, recipe: Recipe) -> MaskedStack | None:
        """The stack taken apart by the recipe's masks; None where it has none. Raises: RecipeError."""
        return masked(stack, recipe, self.family, self.pipeline) if recipe.masks else None

    def one_step(self, width: int, height: int, rows: int, *, tiled: bool | None = None) -> None:
        """Make pictures of the bare base, in as few steps as it does."""
        guidance = self.serving.defaults.guidance_scale
        recipe = Recipe("warm up", "", width, height, self.family.least_steps, guidance, None, seed=0, images=rows)
        recipe = replace(recipe, start=_start(self.family.first_task, (width, height)))
        prompts = self.prompts.encoded(recipe, text_key((), merge=False))
        if tiled is None:
            self.vae.prepare(width * height)
        else:
            self.vae.tile(tiled=tiled)
        run = self.runner.run(recipe, [Row(prompts, seed) for seed in recipe.seeds], lambda *_: None)
        self.accelerator.synchronize()
        if not all(run.pictures().finite):
            log.warning("the base model makes pixels that are not finite", width=width, height=height)


def _start(task: Task, size: tuple[int, int]) -> Start | None:
    """What the task needs to begin with: a grey picture, all of it to be painted anew."""
    if task is Task.TEXT_TO_IMAGE:
        return None
    mask = Image.new("L", size, 255) if task is Task.INPAINTING else None
    return Start(Image.new("RGB", size, (127, 127, 127)), mask, 1.0)
