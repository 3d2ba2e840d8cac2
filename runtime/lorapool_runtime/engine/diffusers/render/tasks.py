"""What a base can do: pipelines for each of its tasks over the same components."""

import inspect
from typing import Any

import diffusers

from lorapool_runtime.engine.contract import Recipe
from lorapool_runtime.engine.diffusers.families.find import tasks_of
from lorapool_runtime.engine.diffusers.families.traits import FamilyTraits, Task
from lorapool_runtime.errors import RecipeError


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

    def __init__(self, pipeline: Any, family: FamilyTraits) -> None:
        self.family = family
        self._base = pipeline
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

    def _make(self, name: str) -> Any:
        """Not by `from_pipe`: it converts the components that are shared to one dtype, float32 by default."""
        kind = getattr(diffusers, name)
        known = inspect.signature(kind.__init__).parameters
        given = {**self._base.config, **self._base.components}
        made = kind(**{key: value for key, value in given.items() if key in known})
        made.set_progress_bar_config(disable=True)
        return made
