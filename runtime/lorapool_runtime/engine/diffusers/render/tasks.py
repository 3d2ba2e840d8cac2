"""What a base can do besides text-to-image: pipelines for other tasks over the same components."""

from enum import StrEnum
from typing import Any, Final

from diffusers import AutoPipelineForImage2Image, AutoPipelineForInpainting

from lorapool_runtime.engine.contract import Recipe
from lorapool_runtime.errors import RecipeError


class Task(StrEnum):
    """What a picture begins with."""

    TEXT_TO_IMAGE = "text-to-image"
    IMAGE_TO_IMAGE = "image-to-image"
    INPAINTING = "inpainting"


_CLASSES: Final = {Task.IMAGE_TO_IMAGE: AutoPipelineForImage2Image, Task.INPAINTING: AutoPipelineForInpainting}


def task_of(recipe: Recipe) -> Task:
    """What the recipe asks for."""
    if recipe.start is None:
        return Task.TEXT_TO_IMAGE
    return Task.IMAGE_TO_IMAGE if recipe.start.mask is None else Task.INPAINTING


class Tasks:
    """The pipelines of one base. All share its modules, so an adapter that is active is active in each."""

    def __init__(self, pipeline: Any) -> None:
        self._pipelines: dict[Task, Any] = {Task.TEXT_TO_IMAGE: pipeline}

    def pipeline(self, task: Task) -> Any:
        """Raises: RecipeError where diffusers has no pipeline of this family for the task."""
        found = self._pipelines.get(task)
        if found is None:
            found = self._pipelines[task] = self._make(task)
        return found

    def _make(self, task: Task) -> Any:
        base = self._pipelines[Task.TEXT_TO_IMAGE]
        try:
            made = _CLASSES[task].from_pipe(base)
        except ValueError as error:
            raise RecipeError(f"this base model, a {type(base).__name__}, does no {task}") from error
        made.set_progress_bar_config(disable=True)
        return made
