"""What the engine draws with an adapter is what merging it exactly into the weights draws."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from tests import tiny
from tests.runtime.ask import distance, image, read, reference_image
from tests.runtime.conftest import load_reference
from tests.tiny import Change

from lorapool_runtime.engine.diffusers.engine import DiffusersEngine

# Rounding of float32 moves a pixel by at most 1 of 255; an adapter that is seen moves it by far more.
ROUNDING = 1
SEEN = 25

Writer = Callable[..., Path]


def changes(pipeline: Any, seed: int = 1, components: tuple[str, ...] = (), alpha: float = 4.0) -> list[Change]:
    modules = tiny.attention_modules(pipeline) + tiny.convolutions(pipeline)
    chosen = [m for m in modules if not components or m[0] in components]
    return tiny.make_changes(pipeline, chosen, rank=4, alpha=alpha, seed=seed)


@pytest.mark.parametrize(
    ("write", "components"),
    [
        pytest.param(tiny.write_diffusers, (), id="diffusers"),
        pytest.param(tiny.write_kohya, (), id="kohya"),
        pytest.param(tiny.write_peft, ("unet",), id="peft"),
        pytest.param(tiny.write_kohya, ("text_encoder", "text_encoder_2"), id="text encoders only"),
    ],
)
def test_every_layout_draws_as_the_float64_merge(
    write: Writer, components: tuple[str, ...], engine: DiffusersEngine, reference: Any, tmp_path: Path
) -> None:
    chosen = changes(reference, components=components, alpha=6.0)
    adapter = read(engine, write(tmp_path / "a.safetensors", chosen))
    base = reference_image(reference)
    tiny.merge(reference, [(chosen, 0.8)])
    wanted = reference_image(reference)

    assert distance(wanted, base) > SEEN
    assert distance(image(engine, (adapter, 0.8)), wanted) <= ROUNDING


def test_a_stack_draws_as_the_sum_of_its_adapters(engine: DiffusersEngine, reference: Any, tmp_path: Path) -> None:
    first, second = changes(reference, seed=1), changes(reference, seed=2, components=("unet",))
    one = read(engine, tiny.write_kohya(tmp_path / "one.safetensors", first))
    two = read(engine, tiny.write_diffusers(tmp_path / "two.safetensors", second))
    tiny.merge(reference, [(first, 0.7), (second, -0.4)])

    assert distance(image(engine, (one, 0.7), (two, -0.4)), reference_image(reference)) <= ROUNDING


@pytest.mark.parametrize("write", [tiny.write_diffusers, tiny.write_kohya])
def test_diffusers_own_loader_draws_the_same(
    write: Writer, engine: DiffusersEngine, model: Path, tmp_path: Path
) -> None:
    pipeline = load_reference(model)
    # Attention only: diffusers' converter does not read every convolution.
    chosen = tiny.make_changes(pipeline, tiny.attention_modules(pipeline), alpha=2.0)
    path = write(tmp_path / "a.safetensors", chosen)
    adapter = read(engine, path)
    pipeline.load_lora_weights(str(path.parent), weight_name=path.name)

    assert distance(image(engine, (adapter, 1.0)), reference_image(pipeline)) <= ROUNDING


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_files_of_half_precision_are_read(
    dtype: torch.dtype, engine: DiffusersEngine, reference: Any, tmp_path: Path
) -> None:
    exact = changes(reference)
    chosen = [Change(c.component, c.module, c.down.to(dtype).float(), c.up.to(dtype).float(), c.alpha) for c in exact]
    adapter = read(engine, tiny.write_kohya(tmp_path / "a.safetensors", exact, dtype))
    tiny.merge(reference, [(chosen, 1.0)])

    assert distance(image(engine, (adapter, 1.0)), reference_image(reference)) <= ROUNDING


def test_locon_with_a_mid_part_draws_as_its_product(engine: DiffusersEngine, reference: Any, tmp_path: Path) -> None:
    from safetensors.torch import save_file

    module = "down_blocks.1.resnets.0.conv1"
    weight = reference.unet.get_submodule(module).weight
    random = torch.Generator().manual_seed(3)
    down = torch.randn((3, weight.shape[1], 1, 1), generator=random)
    mid = torch.randn((3, 3, 3, 3), generator=random)
    up = torch.randn((weight.shape[0], 3, 1, 1), generator=random)
    name = tiny.kohya_name("unet", module)
    parts = {"lora_down": down, "lora_mid": mid, "lora_up": up}
    path = tmp_path / "a.safetensors"
    save_file({f"{name}.{part}.weight": t for part, t in parts.items()}, path)
    adapter = read(engine, path)

    product = torch.einsum("or,rshw,si->oihw", up.double().flatten(1), mid.double(), down.double().flatten(1))
    weight.data = (weight.data.double() + product).float()

    assert distance(image(engine, (adapter, 1.0)), reference_image(reference)) <= ROUNDING


def test_the_same_request_gives_the_same_bytes(engine: DiffusersEngine, reference: Any, tmp_path: Path) -> None:
    adapter = read(engine, tiny.write_kohya(tmp_path / "a.safetensors", changes(reference)))
    base = image(engine)
    first = image(engine, (adapter, 1.0))

    assert (image(engine, (adapter, 1.0)) == first).all()
    assert (image(engine) == base).all(), "base again is not base"
    assert (image(engine, seed=8) != base).any()


def test_images_of_one_request_are_those_of_single_requests(engine: DiffusersEngine) -> None:
    from tests.runtime.ask import rendered, request

    both = rendered(engine, request(images=2)).images
    import numpy as np

    assert (np.asarray(both[1]) == image(engine, seed=8)).all()


def test_a_prompt_is_encoded_once_for_the_same_text_encoders(
    engine: DiffusersEngine, reference: Any, tmp_path: Path
) -> None:
    unet_only, text_too = (
        read(engine, tiny.write_kohya(tmp_path / f"{i}.safetensors", changes(reference, components=components)))
        for i, components in enumerate([("unet",), ("unet", "text_encoder_2")])
    )
    encoded: list[object] = []
    hook = engine.parts.pipeline.text_encoder_2.register_forward_hook(lambda *_: encoded.append(None))
    try:
        first = image(engine, (unet_only, 1.0), prompt="once")
        once = len(encoded)
        assert (image(engine, (unet_only, 1.0), prompt="once") == first).all()
        image(engine, prompt="once")
        assert len(encoded) == once, "the UNet has no say in what a prompt says"
        image(engine, (text_too, 1.0), prompt="once")
        assert len(encoded) == 2 * once
        image(engine, (text_too, 0.5), prompt="once")
        image(engine, prompt="once", negative_prompt="twice")
        assert len(encoded) == 5 * once  # with a negative prompt each encoder is asked twice
    finally:
        hook.remove()


def test_prompts_that_are_remembered_are_bounded(engine: DiffusersEngine) -> None:
    encoded: list[object] = []
    hook = engine.parts.pipeline.text_encoder_2.register_forward_hook(lambda *_: encoded.append(None))
    try:
        for i in range(64):
            image(engine, prompt=f"prompt {i}", guidance_scale=1.0, steps=1)
        image(engine, prompt="prompt 0", guidance_scale=1.0, steps=1)
        assert len(encoded) == 64
        image(engine, prompt="one more", guidance_scale=1.0, steps=1)
        image(engine, prompt="prompt 0", guidance_scale=1.0, steps=1)
        assert len(encoded) == 65
        image(engine, prompt="prompt 1", guidance_scale=1.0, steps=1)
        assert len(encoded) == 66
    finally:
        hook.remove()
