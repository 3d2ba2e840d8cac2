"""What a base can do: pipelines for each of its tasks over the same components."""

import inspect
from collections.abc import Mapping, Sequence
from typing import Any, Final

import diffusers
from cachetools import LRUCache
from diffusers import T2IAdapter

from lorapool_runtime.engine.contract import Recipe
from lorapool_runtime.engine.diffusers.base.image_prompts import ImagePrompt
from lorapool_runtime.engine.diffusers.families.find import tasks_of
from lorapool_runtime.engine.diffusers.families.traits import FamilyTraits, Task
from lorapool_runtime.engine.diffusers.render.arguments import known_to
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

    @property
    def denoiser(self) -> Any:
        return getattr(self._base, "unet", None) or self._base.transformer

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
        """The pipeline of the task; one whose denoiser ControlNets steer, where there are some among the controls.

        Raises: RecipeError where it is none that they are for.
        """
        plain, nets = self.pipeline(task), self.nets(controls)
        family = self.family.controlled
        kind = None if family is None else family.pipelines.get(task)
        unknown = [control.name for control in controls if control.name not in self._controls]
        if unknown or (nets and kind is None):
            raise self._does_no(task, unknown or [control.name for control in nets])
        if nets and kind is not None and family is not None:
            plain = self._steered(kind, family.several, tuple(control.name for control in nets))
        prompts = self.image_prompts(controls)
        if prompts and not known_to(plain, {"ip_adapter_image_embeds": True}):
            raise self._does_no(task, [control.name for control, _ in prompts])
        return plain

    def nets(self, controls: Sequence[ControlPicture]) -> tuple[ControlPicture, ...]:
        """Those that a ControlNet reads."""
        return tuple(c for c in controls if not isinstance(self._controls.get(c.name), ImagePrompt | T2IAdapter))

    def image_prompts(self, controls: Sequence[ControlPicture]) -> tuple[tuple[ControlPicture, ImagePrompt], ...]:
        """Those that an IP-Adapter reads."""
        found = ((control, self._controls.get(control.name)) for control in controls)
        return tuple((control, net) for control, net in found if isinstance(net, ImagePrompt))

    def residuals(self, controls: Sequence[ControlPicture]) -> tuple[tuple[ControlPicture, T2IAdapter], ...]:
        """Those that a T2I-Adapter reads."""
        found = ((control, self._controls.get(control.name)) for control in controls)
        return tuple((control, net) for control, net in found if isinstance(net, T2IAdapter))

    def _steered(self, kind: str, several: str | None, names: tuple[str, ...]) -> Any:
        if several is None and len(names) > 1:
            raise RecipeError(f"{self.family.name} takes one ControlNet at a time")
        key = (kind, *names)
        if key not in self._controlled:
            nets = [self._controls[name] for name in names]
            net = nets[0] if several is None or len(nets) == 1 else getattr(diffusers, several)(nets)
            self._controlled[key] = self._make(kind, controlnet=net)
        return self._controlled[key]

    def _does_no(self, task: Task, names: Sequence[str]) -> RecipeError:
        kind = type(self._base).__name__
        return RecipeError(f"this base model, a {kind}, does no {task} with {', '.join(names)}")

    def _make(self, name: str, **more: Any) -> Any:
        """Not by `from_pipe`: it converts the components that are shared to one dtype, float32 by default."""
        kind = getattr(diffusers, name)
        known = inspect.signature(kind.__init__).parameters
        given = {**self._base.config, **self._base.components, **more}
        made = kind(**{key: value for key, value in given.items() if key in known})
        made.set_progress_bar_config(disable=True)
        return made
