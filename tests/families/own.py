"""The pipeline of a family as a program that uses diffusers' own class would call it."""

import json
from pathlib import Path
from typing import Any, Final

import diffusers
import numpy as np
import torch
from PIL import Image

from lorapool_runtime.engine.diffusers.families.processor import PROCESSORS, load_processor
from lorapool_runtime.engine.diffusers.families.traits import FamilyTraits, Task
from tests import tiny
from tests.families.table import TINY
from tests.tiny import Change

PROMPT: Final = "a red circle"
SEED: Final = 7
STRENGTH: Final = 0.7
STEPS: Final = 3


def picture(side: int) -> Image.Image:
    dice = np.random.default_rng(0)
    return Image.fromarray(dice.integers(0, 255, (side, side, 3), dtype=np.uint8))


def left_half(side: int) -> Image.Image:
    mask = np.zeros((side, side), np.uint8)
    mask[:, : side // 2] = 255
    return Image.fromarray(mask)


def changes_of(name: str, pipeline: Any) -> list[Change]:
    """Of some modules of the denoiser of a pipeline of the family."""
    family = TINY[name]
    denoiser = getattr(pipeline, family.denoiser)
    modules = [(family.denoiser, module) for module, _ in denoiser.named_modules() if module.endswith(family.changed)]
    changes = tiny.make_changes(pipeline, modules, alpha=family.alpha, seed=4)
    assert changes
    return changes


class OwnPipeline:
    """A pipeline of a task, in float32."""

    def __init__(self, folder: Path, family: FamilyTraits, task: Task) -> None:
        self._tiny, self._task, self._edits = TINY[family.name], task, family.edits
        kind: Any = getattr(diffusers, family.pipelines[task])
        # Its own loader of these asks for torchvision.
        index = json.loads((folder / "model_index.json").read_text())
        kinds = {name: entry[1] for name, entry in index.items() if isinstance(entry, list) and entry[1] in PROCESSORS}
        read = {name: load_processor(folder / name, kind) for name, kind in kinds.items()}
        self.pipeline: Any = kind.from_pretrained(folder, **read)
        self.pipeline.set_progress_bar_config(disable=True)
        for name, value in self._tiny.attributes.items():
            setattr(self.pipeline, name, value)
        if (scheduler := self._tiny.scheduler) is not None:
            self.pipeline.scheduler = getattr(diffusers, scheduler).from_config(self.pipeline.scheduler.config)

    def load(self, adapter: Path, changes: list[Change]) -> None:
        """By its own loader, or, of a class that has none that works, by the sum in float64."""
        if hasattr(self.pipeline, "load_lora_weights") and self._task not in self._tiny.without_loader:
            self.pipeline.load_lora_weights(str(adapter.parent), weight_name=adapter.name)
        else:
            tiny.merge(self.pipeline, [(changes, 1.0)])

    def image(self, *beside: Image.Image) -> "np.ndarray[Any, np.dtype[np.uint8]]":
        """`beside`: more pictures to look at."""
        with torch.inference_mode():
            made = self.pipeline(
                prompt=PROMPT,
                num_inference_steps=STEPS,
                generator=torch.Generator().manual_seed(SEED),
                **self._tiny.guided,
                **self._tiny.call,
                **self._begin(beside),
            )
        return np.asarray(made.images[0].convert("RGB"))

    def _begin(self, beside: tuple[Image.Image, ...]) -> dict[str, Any]:
        side = self._tiny.side
        size = {"width": side, "height": side}
        match self._task:
            case Task.TEXT_TO_IMAGE:
                return size
            case Task.INPAINTING:
                return size | {"image": picture(side), "mask_image": left_half(side), "strength": STRENGTH}
        if self._edits:  # it has no such argument
            return size | {"image": [picture(side), *beside] if beside else picture(side)}
        # Those with a UNet take the size from the picture.
        own = {} if self._tiny.denoiser == "unet" else size
        return own | {"image": picture(side), "strength": STRENGTH}
