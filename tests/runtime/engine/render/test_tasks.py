"""Image-to-image, inpainting and previews: what diffusers' own pipelines make, with active adapters."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import StableDiffusionXLImg2ImgPipeline, StableDiffusionXLInpaintPipeline
from PIL import Image
from tests import tiny
from tests.runtime.ask import distance, image, read, recipe, rendered, request
from tests.runtime.conftest import load_reference

from lorapool_api.kinds.serving import SchedulerName
from lorapool_runtime.engine.contract import Step
from lorapool_runtime.engine.diffusers.engine import DiffusersEngine
from lorapool_runtime.engine.diffusers.render.pictures.previews import LatentPreview, predicted_x0
from lorapool_runtime.engine.diffusers.render.schedulers import make_scheduler
from lorapool_runtime.engine.diffusers.render.waitless import waitless
from lorapool_runtime.engine.passes import Start

SIDE = tiny.SIZE


def picture(seed: int = 0) -> Image.Image:
    dice = np.random.default_rng(seed)
    return Image.fromarray(dice.integers(0, 255, (SIDE, SIDE, 3), dtype=np.uint8))


def left_half() -> Image.Image:
    mask = np.zeros((SIDE, SIDE), np.uint8)
    mask[:, : SIDE // 2] = 255
    return Image.fromarray(mask)


@pytest.mark.parametrize("mask", [None, left_half()], ids=["image-to-image", "inpainting"])
def test_a_picture_to_begin_with_gives_what_diffusers_makes_of_it(
    engine: DiffusersEngine, model: Path, tmp_path: Path, mask: Image.Image | None
) -> None:
    reference = load_reference(model)
    changes = tiny.make_changes(reference, tiny.attention_modules(reference), seed=4)
    adapter = read(engine, tiny.write_kohya(tmp_path / "a.safetensors", changes))
    start = Start(picture(), mask, 0.7)
    mine = image(engine, (adapter, 1.0), start=start, steps=5)

    tiny.merge(reference, [(changes, 1.0)])
    kind: Any = StableDiffusionXLImg2ImgPipeline if mask is None else StableDiffusionXLInpaintPipeline
    pipeline = kind(**reference.components, add_watermarker=False)
    pipeline.scheduler, _ = make_scheduler(pipeline.scheduler, SchedulerName.EULER_A)
    wanted = recipe()
    masked = {"mask_image": mask, "width": SIDE, "height": SIDE} if mask else {}
    with torch.inference_mode():
        theirs = pipeline(
            prompt=wanted.prompt,
            image=picture(),
            strength=0.7,
            num_inference_steps=5,
            guidance_scale=wanted.guidance_scale,
            generator=torch.Generator().manual_seed(wanted.seed),
            **masked,
        ).images[0]
    assert distance(mine, np.asarray(theirs)) <= 2
    assert distance(mine, image(engine, start=start, steps=5)) > 20  # without the adapter


def test_the_pipelines_of_all_tasks_share_the_base(engine: DiffusersEngine) -> None:
    before = image(engine)
    image(engine, start=Start(picture(), left_half(), 1.0))
    assert (image(engine) == before).all()


def test_steps_are_told_with_as_many_previews_as_were_asked_for(engine: DiffusersEngine) -> None:
    steps: list[Step] = []
    image(engine)  # the first picture teaches what colours its latents mean
    rendered(engine, replace(request(steps=6, images=2), on_step=steps.append, previews=3))
    assert [(s.number, s.of) for s in steps] == [(i, 12) for i in range(1, 13)]
    shown = [made for s in steps if s.preview and (made := s.preview())]
    assert [p.size for p in shown] == [(SIDE, SIDE)] * 3


def test_colours_are_found_in_latents() -> None:
    """A made-up VAE: brightness in one channel, red against blue in another."""
    dice = torch.Generator().manual_seed(1)
    latents = torch.rand((4, 12, 12), generator=dice)
    light, warm = latents[0], latents[1]
    small = torch.stack([light * 0.6 + warm * 0.4, light, light * 0.7 + (1 - warm) * 0.3], dim=-1)
    pixels = small.repeat_interleave(8, 0).repeat_interleave(8, 1).numpy()
    previews = LatentPreview()
    assert previews.decode(latents, (96, 96)) is None
    previews.fit(latents, pixels)
    drawn = previews.decode(latents, (12, 12))
    assert drawn is not None
    assert np.abs(np.asarray(drawn).astype(int) - (small.numpy() * 255).round().astype(int)).max() <= 2


def test_where_an_euler_step_goes_is_the_picture_without_its_noise() -> None:
    from diffusers import EulerDiscreteScheduler, FlowMatchEulerDiscreteScheduler

    dice = torch.Generator().manual_seed(1)
    clean, noise = torch.randn((2, 1, 4, 4, 4), generator=dice)
    euler = waitless(EulerDiscreteScheduler())
    euler.set_timesteps(8)
    sigma = euler.sigmas[0]
    noisy = clean + sigma * noise
    euler.scale_model_input(noisy, euler.timesteps[0])
    after = euler.step(noise, euler.timesteps[0], noisy).prev_sample
    assert torch.allclose(predicted_x0(noisy, after, euler), clean, atol=1e-4)

    flow = waitless(FlowMatchEulerDiscreteScheduler())
    flow.set_timesteps(8)
    sigma = flow.sigmas[0]
    mixed = (1 - sigma) * clean + sigma * noise
    after = flow.step(noise - clean, flow.timesteps[0], mixed).prev_sample
    assert torch.allclose(predicted_x0(mixed, after, flow), clean, atol=1e-4)
