"""The trained base in the pipelines that people load it with, judged by its pictures."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import (
    AutoPipelineForImage2Image,
    AutoPipelineForInpainting,
    AutoPipelineForText2Image,
    StableDiffusionXLPipeline,
)
from PIL import Image

from lorapool_models.base import architecture
from lorapool_models.pictures.judge import PictureVerdict, judge
from lorapool_models.pictures.scene import SIZE

FOLDER = Path(__file__).parents[3] / "models" / "weights" / architecture.NAME
GUIDED = {"guidance_scale": 4.0, "output_type": "np"}


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def load(kind: Any, dtype: torch.dtype = torch.float32) -> Any:
    pipeline = kind.from_pretrained(FOLDER, dtype=dtype)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def seen(pipeline: Any, prompt: str, steps: int = 12, **more: Any) -> PictureVerdict:
    dice = torch.Generator().manual_seed(1)
    with torch.inference_mode():
        pixels = pipeline(prompt, num_inference_steps=steps, generator=dice, **GUIDED, **more).images[0]
    return judge(np.asarray(pixels, dtype=np.float32))


@pytest.mark.parametrize("kind", [StableDiffusionXLPipeline, AutoPipelineForText2Image])
def test_it_loads_as_any_sdxl_model_and_follows_the_prompt(kind: Any) -> None:
    verdict = seen(load(kind), "a green star on a pink background")
    assert (verdict.shape, verdict.colour, verdict.background) == ("star", "green", "pink")


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_draws_the_same(dtype: torch.dtype) -> None:
    verdict = seen(load(StableDiffusionXLPipeline, dtype), "a blue cross on a yellow background")
    assert (verdict.shape, verdict.colour, verdict.background) == ("cross", "blue", "yellow")


def drawing() -> Image.Image:
    """What the base draws, to begin with."""
    dice = torch.Generator().manual_seed(3)
    made = load(StableDiffusionXLPipeline)("a red circle on a blue background", num_inference_steps=12, generator=dice)
    image: Image.Image = made.images[0]
    return image


def test_image_to_image_keeps_what_a_weak_change_leaves() -> None:
    pipeline, start = load(AutoPipelineForImage2Image), drawing()
    weak = seen(pipeline, "a red circle on a blue background", image=start, strength=0.3)
    strong = seen(pipeline, "a yellow square on a black background", image=start, strength=1.0)
    assert (weak.shape, weak.colour, weak.background) == ("circle", "red", "blue")
    assert (strong.shape, strong.colour, strong.background) == ("square", "yellow", "black")


def test_inpainting_changes_what_the_mask_shows_and_nothing_else() -> None:
    start = drawing()
    corner = np.zeros((SIZE, SIZE), np.uint8)
    corner[:, : SIZE // 4] = 255
    with torch.inference_mode():
        made = load(AutoPipelineForInpainting)(
            "a red circle on a green background",
            image=start,
            mask_image=Image.fromarray(corner),
            width=SIZE,
            height=SIZE,
            strength=1.0,
            num_inference_steps=12,
            generator=torch.Generator().manual_seed(1),
            **GUIDED,
        ).images[0]
    before, after = np.asarray(start, dtype=np.float32) / 255, np.asarray(made)
    changed = np.abs(after - before).mean(axis=(0, 2))
    assert changed[: SIZE // 8].mean() > 5 * changed[SIZE // 2 :].mean()
