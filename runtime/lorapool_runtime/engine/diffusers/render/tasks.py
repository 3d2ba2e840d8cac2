"""What a base can do: pipelines for each of its tasks over the same components."""

import inspect
from collections.abc import Mapping, Sequence
from typing import Any, Final

import diffusers
from cachetools import LRUCache
from diffusers import MultiControlNetModel

from lorapool_runtime.engine.contract import Recipe
from lorapool_runtime.engine.diffusers.families.find import tasks_of
from lorapool_runtime.engine.diffusers.families.traits import FamilyTraits, Task
from lorapool_runtime.engine.passes import ControlPicture
from lorapool_runtime.errors import RecipeError

# Pipelines with their controls: they hold no weights of their own.
_KEPT: Final = 16


def task_of(recipe: Recipe) -> Task:
    """What the recipe asks for."""
    if recipe.start is None:
        return Task.TEXT_TO_IMAGE
    return Task.IMAGE_TO_IMAGE if recipe.start.mask is None else Task.INPAINTING


class Tasks:
    """The pipelines of one base. All share its modules, so an adapter that is active is active in each.

    Attributes:
        family: what decides about the tasks.
    """

    def __init__(self, pipeline: Any, family: FamilyTraits, controls: Mapping[str, Any] | None = None) -> None:
        """`controls`: what pictures control the base with, by name."""
        self.family = family
        self._base = pipeline
        self._controls = controls or {}
        self._controlled: LRUCache[tuple[str, ...], Any] = LRUCache(_KEPT)
        self._pipelines: dict[str, Any] = {type(pipeline).__name__: pipeline}

    def pipeline(self, task: Task) -> Any:
        """Raises: RecipeError where bases of this family do not do the task."""
        name = self.family.pipelines.get(task)
        if name is None:
            can = " and ".join(tasks_of(self.family))
            raise RecipeError(f"this base model, a {type(self._base).__name__}, does no {task}: it does {can}")
        if name not in self._pipelines:
            self._pipelines[name] = self._make(name)
        return self._pipelines[name]

    def controlled(self, task: Task, controls: Sequence[ControlPicture]) -> Any:
        """The pipeline whose denoiser these controls steer. Raises: RecipeError."""
        self.pipeline(task)
        names = tuple(control.name for control in controls)
        kind = self.family.controlled.get(task)
        missing = [name for name in names if name not in self._controls]
        if kind is None or missing:
            raise RecipeError(f"this base model, a {type(self._base).__name__}, does no {task} with {', '.join(names)}")
        key = (kind, *names)
        if key not in self._controlled:
            nets = [self._controls[name] for name in names]
            net = nets[0] if len(nets) == 1 else MultiControlNetModel(nets)
            self._controlled[key] = self._make(kind, controlnet=net)
        return self._controlled[key]

    def _make(self, name: str, **more: Any) -> Any:
        """Not by `from_pipe`: it converts the components that are shared to one dtype, float32 by default."""
        kind = getattr(diffusers, name)
        known = inspect.signature(kind.__init__).parameters
        given = {**self._base.config, **self._base.components, **more}
        made = kind(**{key: value for key, value in given.items() if key in known})
        made.set_progress_bar_config(disable=True)
        return made
