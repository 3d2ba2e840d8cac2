"""Scales by step together with what else a request may have: networks that can only be merged, masks, a second pass."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from lycoris import LycorisNetwork, create_lycoris
from PIL import Image
from tests import tiny
from tests.runtime.ask import distance, image, read, reference_image
from tests.runtime.conftest import load_reference

from lorapool_api.wire.request import Upscaler
from lorapool_api.wire.weighting.scale import Weighting
from lorapool_runtime.adapters.file import HostAdapter
from lorapool_runtime.engine.diffusers.engine import DiffusersEngine
from lorapool_runtime.engine.passes import Hires

ROUNDING = 1
SEEN = 10
STEPS = 5
FALLING = Weighting(steps=((0, 1.2), (0.4, 0.3), (0.8, -0.5)))
WHITE = Image.new("L", (tiny.SIZE, tiny.SIZE), 255)


def half() -> Image.Image:
    columns = np.where(np.arange(tiny.SIZE) < 13, 255, 0).astype(np.uint8)
    return Image.fromarray(np.tile(columns, (tiny.SIZE, 1)))


@pytest.fixture(scope="module")
def adapters(loaded: Any, model: Path, tmp_path_factory: pytest.TempPathFactory) -> list[HostAdapter]:
    folder, pipeline = tmp_path_factory.mktemp("adapters"), load_reference(model)
    modules = tiny.attention_modules(pipeline) + tiny.convolutions(pipeline)
    changes = [tiny.make_changes(pipeline, modules, seed=seed, alpha=3.0) for seed in (1, 2)]
    return [read(loaded[0], tiny.write_kohya(folder / f"{i}.safetensors", c)) for i, c in enumerate(changes)]


def test_a_network_that_can_only_be_merged_is_merged_again_at_each_change(
    engine: DiffusersEngine, reference: Any, tmp_path: Path
) -> None:
    base = reference_image(reference, steps=STEPS)
    torch.manual_seed(1)
    LycorisNetwork.LORA_PREFIX = "lora_unet"
    network = create_lycoris(reference.unet, 1.0, algo="loha", linear_dim=4, linear_alpha=3, warn_on_unmatched=False)
    network.apply_to()
    network.eval()
    for parameter in network.parameters():
        parameter.data = parameter.data + torch.randn_like(parameter) * 0.28
    path = tmp_path / "a.safetensors"
    network.save_weights(str(path), None, None)

    def after(pipeline: Any, step: int, timestep: Any, tensors: dict[str, Any]) -> dict[str, Any]:
        network.set_multiplier(0.3 if step + 1 < 4 else -0.5) if step + 1 >= 2 else None
        return {}

    network.set_multiplier(1.2)
    wanted = reference_image(reference, {"callback_on_step_end": after}, steps=STEPS)
    adapter = read(engine, path)
    assert distance(wanted, image(engine, (adapter, 1.2), steps=STEPS)) > SEEN
    assert distance(image(engine, (adapter, FALLING), steps=STEPS), wanted) <= ROUNDING
    # What was written at the last step is not what the next request finds.
    assert distance(image(engine, steps=STEPS), base) <= ROUNDING


def test_a_masked_adapter_changes_from_step_to_step_where_it_counts(
    engine: DiffusersEngine, adapters: list[HostAdapter]
) -> None:
    first, second = adapters
    everywhere = image(engine, (first, FALLING), steps=STEPS)
    assert distance(image(engine, (first, FALLING), steps=STEPS, masks=(WHITE,)), everywhere) <= ROUNDING
    masked = image(engine, (first, FALLING), steps=STEPS, masks=(half(),))
    assert distance(masked, everywhere) > SEEN
    assert distance(masked, image(engine, (first, 1.2), steps=STEPS, masks=(half(),))) > SEEN
    # Changes to the same scale, and of another adapter beside it, are none.
    same = Weighting(steps=((0, 0.8), (0.4, 0.8)))
    both = image(engine, (first, 0.8), (second, 0.6), steps=STEPS, masks=(half(), None))
    assert distance(image(engine, (first, same), (second, 0.6), steps=STEPS, masks=(half(), None)), both) <= ROUNDING
    assert distance(image(engine, (first, 0.8), (second, FALLING), steps=STEPS, masks=(half(), None)), both) > SEEN


def test_a_second_pass_counts_its_own_steps(engine: DiffusersEngine, adapters: list[HostAdapter]) -> None:
    """Eight steps, half of them done anew: what begins at a half is active in the last four, then in the last two."""
    size = {"width": 2 * tiny.SIZE, "height": 2 * tiny.SIZE}
    hires = Hires(tiny.SIZE, tiny.SIZE, Upscaler.LATENT, 8, 0.5)
    seen: list[float] = []
    module = engine.parts.pipeline.unet.mid_block.attentions[0].transformer_blocks[0].attn1.to_q
    hook = module.register_forward_hook(lambda module, *_: seen.append(module.active.branches[0].scale))
    try:
        late = Weighting(steps=((0, 0.0), (0.5, 1.0)))
        image(engine, (adapters[0], late), steps=8, hires=hires, **size)
    finally:
        hook.remove()
    unit = seen[-1]
    assert seen == [*[0.0] * 4, *[unit] * 4, *[0.0] * 2, *[unit] * 2]
    assert unit > 0
