"""What a pipeline with ControlNets is called with for the pictures that control a result."""

from collections.abc import Sequence
from typing import Any

from lorapool_runtime.engine.diffusers.families.traits import Task
from lorapool_runtime.engine.passes import ControlPicture


def control_arguments(task: Task, controls: Sequence[ControlPicture]) -> dict[str, Any]:
    """One value each for one control, lists for several; nothing for none."""
    if not controls:
        return {}
    image = "image" if task is Task.TEXT_TO_IMAGE else "control_image"
    values: dict[str, list[Any]] = {
        image: [control.image for control in controls],
        "controlnet_conditioning_scale": [control.scale for control in controls],
        "control_guidance_start": [control.start for control in controls],
        "control_guidance_end": [control.end for control in controls],
    }
    return {name: each[0] if len(controls) == 1 else each for name, each in values.items()}
