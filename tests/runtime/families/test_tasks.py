"""Every family, with an adapter, does what diffusers' own pipeline does with its own loader."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import pytest
import torch
from PIL import Image
from tests import tiny
from tests.families.table import TINY
from tests.runtime.ask import Pixels, distance, image, read
from tests.runtime.families.conftest import Served
from tests.tiny import Change

from lorapool_runtime.engine.contract import Start
from lorapool_runtime.engine.diffusers.families.traits import Task
from lorapool_runtime.errors import RecipeError

# Rounding of float32 moves a pixel by 1 of 255, and twice where a picture is read and written.
ROUNDING, SEEN = 2, 8
STRENGTH, STEPS = 0.7, 3

Serve = Callable[[str], Served]


def picture(side: int) -> Image.Image:
    dice = np.random.default_rng(0)
    return Image.fromarray(dice.integers(0, 255, (side, side, 3), dtype=np.uint8))


def left_half(side: int) -> Image.Image:
    mask = np.zeros((side, side), np.uint8)
    mask[:, : side // 2] = 255
    return Image.fromarray(mask)


def asked(name: str, task: Task) -> dict[str, Any]:
    """What a request says of the picture."""
    side = TINY[name].side
    mask = left_half(side) if task is Task.INPAINTING else None
    start = None if task is Task.TEXT_TO_IMAGE else Start(picture(side), mask, STRENGTH)
    return {"start": start, "width": side, "height": side, "scheduler": None, "steps": STEPS}


class Diffusers:
    """The pipeline of a task, as a program that uses its class would call it."""

    def __init__(self, name: str, served: Served, task: Task) -> None:
        self._family, self._task = TINY[name], task
        self._edits = served.engine.parts.family.edits
        kind: Any = getattr(diffusers, served.engine.parts.family.pipelines[task])
        self._pipeline = kind.from_pretrained(served.folder)
        self._pipeline.set_progress_bar_config(disable=True)
        if (scheduler := self._family.scheduler) is not None:
            self._pipeline.scheduler = getattr(diffusers, scheduler).from_config(self._pipeline.scheduler.config)

    def load(self, adapter: Path, changes: list[Change]) -> None:
        """By its own loader, or, of a class that has none, by the sum in float64."""
        if hasattr(self._pipeline, "load_lora_weights"):
            self._pipeline.load_lora_weights(str(adapter.parent), weight_name=adapter.name)
        else:
            tiny.merge(self._pipeline, [(changes, 1.0)])

    def image(self) -> Pixels:
        with torch.inference_mode():
            made = self._pipeline(
                prompt="a red circle",
                num_inference_steps=STEPS,
                generator=torch.Generator().manual_seed(7),
                **self._family.guided,
                **self._family.call,
                **self._begin(),
            )
        return np.asarray(made.images[0])

    def _begin(self) -> dict[str, Any]:
        side = self._family.side
        size = {"width": side, "height": side}
        match self._task:
            case Task.TEXT_TO_IMAGE:
                return size
            case Task.INPAINTING:
                return size | {"image": picture(side), "mask_image": left_half(side), "strength": STRENGTH}
        if self._edits:  # it has no such argument
            return size | {"image": picture(side)}
        # Those with a UNet take the size from the picture.
        own = {} if self._family.denoiser == "unet" else size
        return own | {"image": picture(side), "strength": STRENGTH}


def changes_of(name: str, served: Served) -> list[Change]:
    """Of some modules of the denoiser."""
    family = TINY[name]
    parts: Any = served.engine.parts.pipeline
    modules = [
        (family.denoiser, module)
        for module in served.engine.info.modules[family.denoiser]
        if module.endswith(family.changed)
    ]
    changes = tiny.make_changes(parts, modules, alpha=family.alpha, seed=4)
    assert changes
    return changes


# Chroma's own code still uses it.
@pytest.mark.filterwarnings("ignore:`FluxPosEmbed` is deprecated:FutureWarning")
@pytest.mark.parametrize("task", list(Task))
@pytest.mark.parametrize("name", TINY)
def test_a_family_makes_what_diffusers_makes(name: str, task: Task, serve: Serve, tmp_path: Path) -> None:
    served, wanted = serve(name), asked(name, task)
    engine = served.engine
    assert engine.parts.family.name == name
    if task not in engine.parts.family.pipelines:
        with pytest.raises(RecipeError, match=f"does no {task}: it does "):
            image(engine, **wanted)
        return
    changes = changes_of(name, served)
    path = tiny.write_diffusers(tmp_path / "a.safetensors", changes)
    mine = image(engine, (read(engine, path), 1.0), **wanted)
    reference = Diffusers(name, served, task)
    bare = image(engine, **wanted)
    assert distance(bare, reference.image()) <= ROUNDING
    reference.load(path, changes)
    assert distance(mine, reference.image()) <= ROUNDING
    assert distance(mine, bare) > SEEN
