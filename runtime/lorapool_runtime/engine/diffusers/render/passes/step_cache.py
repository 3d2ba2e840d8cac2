"""Steps that skip blocks of the denoiser where the last step was alike, by diffusers' own hooks.

The hooks keep states of the blocks by the name that the pipeline gives a forward of a step, guided or not. They are put
on for one pass of one picture and taken off after it, however it ends: what they kept goes with them.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from diffusers import FirstBlockCacheConfig

from lorapool_api.kinds.serving import CompileMode, Serving
from lorapool_api.kinds.speed.step_cache import StepCache
from lorapool_runtime.engine.contract import Recipe
from lorapool_runtime.engine.diffusers.families.traits import FamilyTraits, Task
from lorapool_runtime.errors import ModelError


@dataclass(frozen=True)
class PassCache:
    """What a pool says of it, and the tasks that it is for."""

    options: StepCache
    tasks: tuple[Task, ...]

    def is_for(self, recipe: Recipe, task: Task) -> bool:
        """Whether a pass of the task skips blocks. What masks and controls do to blocks is never skipped."""
        return task in self.tasks and not recipe.masks and not recipe.controls

    @property
    def warning(self) -> str:
        """What the reply says of a picture."""
        method, threshold = self.options.method, self.options.threshold
        return f"this pool has a step cache ({method}, threshold {threshold:g}): the picture is not exact"

    @contextmanager
    def one_pass(self, denoiser: Any) -> Iterator[None]:
        """While it lasts, forwards of the denoiser skip blocks. The hooks compare whole batches: they have one row."""
        denoiser.enable_cache(FirstBlockCacheConfig(threshold=self.options.threshold))
        try:
            yield
        finally:
            denoiser.disable_cache()


def pass_cache(serving: Serving, family: FamilyTraits) -> PassCache | None:
    """None where the pool has none.

    Raises: ModelError for a family that has none in diffusers, and for a denoiser that is to be compiled.
    """
    if serving.step_cache is None:
        return None
    if serving.compile is not CompileMode.OFF:
        raise ModelError("a graph of a compiled denoiser skips nothing: with serving.stepCache serving.compile is Off")
    if not family.cached:
        raise ModelError(f"diffusers has no step cache for {family.name}: leave serving.stepCache out")
    return PassCache(serving.step_cache, family.cached)
