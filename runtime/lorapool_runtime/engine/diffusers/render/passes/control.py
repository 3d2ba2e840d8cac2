"""What a pipeline with ControlNets is called with for the pictures that control a result."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch

from lorapool_runtime.engine.diffusers.render.arguments import known_to
from lorapool_runtime.engine.passes import ControlPicture


@contextmanager
def seeded(seed: int, device: torch.device, controls: Sequence[ControlPicture]) -> Iterator[None]:
    """A picture that controls is encoded alike each time: pipelines of some families draw for it, from no generator
    that they are given."""
    if not controls:
        yield
        return
    with torch.random.fork_rng(devices=[device.index or 0] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        yield


def control_arguments(pipeline: Any, controls: Sequence[ControlPicture]) -> dict[str, Any]:
    """One value each for one control, lists for several; nothing for none."""
    if not controls:
        return {}
    # Where there is no picture to begin with, some call the one that controls the picture.
    image = "control_image" if known_to(pipeline, {"control_image": True}) else "image"
    values: dict[str, list[Any]] = {
        image: [control.image for control in controls],
        "controlnet_conditioning_scale": [control.scale for control in controls],
        "control_guidance_start": [control.start for control in controls],
        "control_guidance_end": [control.end for control in controls],
    }
    return {name: each[0] if len(controls) == 1 else each for name, each in values.items()}
