"""A second pass over a larger picture: what diffusers' own pipelines make one after the other, with active adapters."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import StableDiffusionXLImg2ImgPipeline
from PIL import Image
from tests import tiny
from tests.runtime.ask import distance, image, read, recipe, rendered, request
from tests.runtime.conftest import load_reference

from lorapool_api.kinds.serving import SchedulerName
from lorapool_api.wire.request import Upscaler
from lorapool_runtime.engine.contract import Step
from lorapool_runtime.engine.diffusers.engine import DiffusersEngine
from lorapool_runtime.engine.diffusers.render.schedulers import make_scheduler
from lorapool_runtime.engine.passes import Hires

SIDE = tiny.SIZE
LARGE = {"width": 2 * SIDE, "height": SIDE}


def hires(upscaler: Upscaler) -> Hires:
    return Hires(SIDE, SIDE // 2, upscaler, steps=4, strength=0.5)


@pytest.mark.parametrize("upscaler", list(Upscaler))
def test_the_second_pass_is_image_to_image_over_the_first_made_larger(
    engine: DiffusersEngine, model: Path, tmp_path: Path, upscaler: Upscaler
) -> None:
    reference = load_reference(model)
    changes = tiny.make_changes(reference, tiny.attention_modules(reference), seed=4)
    adapter = read(engine, tiny.write_kohya(tmp_path / "a.safetensors", changes))
    mine = image(engine, (adapter, 1.0), **LARGE, hires=hires(upscaler))
    assert mine.shape == (SIDE, 2 * SIDE, 3)

    tiny.merge(reference, [(changes, 1.0)])
    wanted = recipe()
    said: Any = {"prompt": wanted.prompt, "guidance_scale": wanted.guidance_scale}
    sampler, _ = make_scheduler(reference.scheduler, SchedulerName.EULER_A)
    reference.scheduler = sampler
    kind = "latent" if upscaler is Upscaler.LATENT else "pil"
    with torch.inference_mode():
        first = reference(
            **said,
            width=SIDE,
            height=SIDE // 2,
            num_inference_steps=wanted.steps,
            generator=torch.Generator().manual_seed(wanted.seed),
            output_type=kind,
        ).images
        second = StableDiffusionXLImg2ImgPipeline(**reference.components, add_watermarker=False)
        second.scheduler, _ = make_scheduler(sampler, SchedulerName.EULER_A)
        theirs = second(
            **said,
            image=made_larger(first),
            strength=0.5,
            num_inference_steps=4,
            generator=torch.Generator().manual_seed(wanted.seed),
        ).images[0]
    assert distance(mine, np.asarray(theirs)) <= 2


def made_larger(first: Any) -> Any:
    if isinstance(first, torch.Tensor):
        return torch.nn.functional.interpolate(first, scale_factor=2.0, mode="bilinear")
    return first[0].resize((2 * SIDE, SIDE), Image.Resampling.LANCZOS)


def test_steps_of_both_passes_are_counted_together(engine: DiffusersEngine) -> None:
    steps: list[Step] = []
    wanted = replace(request(**LARGE, hires=hires(Upscaler.PIXEL)), on_step=steps.append)
    made = rendered(engine, wanted)
    assert [(step.number, step.of) for step in steps] == [(i, 5) for i in range(1, 6)]
    assert made.images[0].size == (2 * SIDE, SIDE)


def test_each_image_of_a_request_has_its_own_second_pass(engine: DiffusersEngine) -> None:
    two = rendered(engine, request(**LARGE, hires=hires(Upscaler.LATENT), images=2)).images
    alone = image(engine, **LARGE, hires=hires(Upscaler.LATENT), seed=8)
    assert distance(np.asarray(two[1]), alone) <= 1
    assert distance(np.asarray(two[0]), alone) > 5
