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

from lorapool_runtime.engine.contract import Start
from lorapool_runtime.engine.diffusers.families.traits import Task
from lorapool_runtime.errors import RecipeError

SIDE = tiny.SIZE
# Rounding of float32 moves a pixel by 1 of 255, and twice where a picture is read and written.
ROUNDING, SEEN = 2, 8
STRENGTH, STEPS = 0.7, 3

Serve = Callable[[str], Served]


def picture() -> Image.Image:
    dice = np.random.default_rng(0)
    return Image.fromarray(dice.integers(0, 255, (SIDE, SIDE, 3), dtype=np.uint8))


def left_half() -> Image.Image:
    mask = np.zeros((SIDE, SIDE), np.uint8)
    mask[:, : SIDE // 2] = 255
    return Image.fromarray(mask)


def start_of(task: Task) -> Start | None:
    if task is Task.TEXT_TO_IMAGE:
        return None
    return Start(picture(), left_half() if task is Task.INPAINTING else None, STRENGTH)


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

    def load(self, adapter: Path) -> None:
        self._pipeline.load_lora_weights(str(adapter.parent), weight_name=adapter.name)

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
        size = {"width": SIDE, "height": SIDE}
        match self._task:
            case Task.TEXT_TO_IMAGE:
                return size
            case Task.INPAINTING:
                return size | {"image": picture(), "mask_image": left_half(), "strength": STRENGTH}
        if self._edits:  # it has no such argument
            return size | {"image": picture()}
        # Those with a UNet take the size from the picture.
        own = {} if self._family.denoiser == "unet" else size
        return own | {"image": picture(), "strength": STRENGTH}


def write_adapter(path: Path, name: str, served: Served) -> Path:
    """Of some modules of the denoiser, as diffusers itself writes it."""
    family = TINY[name]
    parts: Any = served.engine.parts.pipeline
    modules = [
        (family.denoiser, module)
        for module in served.engine.info.modules[family.denoiser]
        if module.endswith(family.changed)
    ]
    changes = tiny.make_changes(parts, modules, alpha=16.0, seed=4)
    assert changes
    return tiny.write_diffusers(path, changes)


@pytest.mark.parametrize("task", list(Task))
@pytest.mark.parametrize("name", TINY)
def test_a_family_makes_what_diffusers_makes(name: str, task: Task, serve: Serve, tmp_path: Path) -> None:
    served = serve(name)
    engine, start = served.engine, start_of(task)
    assert engine.parts.family.name == name
    if task not in engine.parts.family.pipelines:
        with pytest.raises(RecipeError, match=f"does no {task}: it does "):
            image(engine, start=start, scheduler=None, steps=STEPS)
        return
    path = write_adapter(tmp_path / "a.safetensors", name, served)
    mine = image(engine, (read(engine, path), 1.0), start=start, scheduler=None, steps=STEPS)

    reference = Diffusers(name, served, task)
    bare = image(engine, start=start, scheduler=None, steps=STEPS)
    assert distance(bare, reference.image()) <= ROUNDING
    reference.load(path)
    assert distance(mine, reference.image()) <= ROUNDING
    assert distance(mine, bare) > SEEN
