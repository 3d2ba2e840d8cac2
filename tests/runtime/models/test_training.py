"""The small model's training, on a handful of pictures: what it promises about latents, checkpoints and layouts."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import StableDiffusionXLPipeline
from peft import PeftModel
from torch import nn

from lorapool_models.adapters import lora
from lorapool_models.adapters.lora import Layout, NetworkConfig
from lorapool_models.base import architecture, autoencoder, denoiser, words
from lorapool_models.base.training import TrainingRun, rate
from lorapool_models.pictures import corpus
from lorapool_models.show import untrained

pytestmark = pytest.mark.usefixtures("one_thread", "own_cache")

SMALL_VAE = (8, 8, 16, 16)


@pytest.fixture(scope="module")
def stand_in(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("weights")
    untrained.write(root)
    return root


def load(root: Path) -> Any:
    pipeline = StableDiffusionXLPipeline.from_pretrained(root / architecture.NAME)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def draw(pipeline: Any) -> np.ndarray[Any, Any]:
    dice = torch.Generator().manual_seed(0)
    made = pipeline(denoiser.PROMPTS[0], num_inference_steps=2, generator=dice, output_type="np")
    picture: np.ndarray[Any, Any] = made.images[0]
    return picture


# ---- words -----------------------------------------------------------------------------------------------------


def test_every_word_of_a_prompt_is_one_token_and_others_are_spelled(tmp_path: Path) -> None:
    tokenizer = words.tokenizer(tmp_path)
    for prompt in denoiser.PROMPTS:
        assert len(tokenizer(prompt).input_ids) == len(prompt.split()) + 2
    assert len(tokenizer("giraffe").input_ids) > 3
    known = [tokenizer(word).input_ids[1] for word in words.WORDS]
    assert len(set(known)) == len(words.WORDS)


def test_prompts_say_what_the_scene_shows() -> None:
    scene, prompt = corpus.random_scene(np.random.default_rng(1))
    assert scene.shape in prompt
    assert corpus.prompt_of("ring", "orange", "blue") == "an orange ring on a blue background"


# ---- the autoencoder -------------------------------------------------------------------------------------------


def test_settled_latents_are_normal_and_lead_to_the_same_pictures() -> None:
    data = corpus.of_every_kind(12, seed=3)
    vae = autoencoder.make(0, SMALL_VAE).eval()
    x = autoencoder.as_input(data)
    with torch.no_grad():
        before = vae.decode(vae.encode(x).latent_dist.mean).sample
        spread = vae.encode(x).latent_dist.std / vae.encode(x).latent_dist.mean.std((0, 2, 3), keepdim=True)
        autoencoder.settle(vae, data)
        settled = vae.encode(x).latent_dist
        after = vae.decode(settled.mean).sample
    assert settled.mean.mean((0, 2, 3)).abs().max() < 1e-3
    assert (settled.mean.std((0, 2, 3)) - 1).abs().max() < 1e-3
    torch.testing.assert_close(settled.std, spread, rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(after, before, rtol=1e-3, atol=1e-3)


def test_pictures_survive_the_way_to_tensors_and_back() -> None:
    data = corpus.of_every_kind(2, seed=3)
    assert (autoencoder.as_bytes(autoencoder.as_input(data)) == data).all()


# ---- training --------------------------------------------------------------------------------------------------


def linear_run(folder: Path) -> TrainingRun:
    torch.manual_seed(0)
    model = nn.Linear(3, 1)
    return TrainingRun.resume("line", model, model.parameters(), 1e-2, folder)


def train_line(run: TrainingRun, until: int) -> None:
    def loss_of(_: int) -> tuple[torch.Tensor, dict[str, float]]:
        x = torch.randn(8, 3)
        return (run.model(x) - x.sum(1, keepdim=True)).square().mean(), {}

    run.until(until, 1e-2, loss_of)


def test_a_run_that_was_broken_off_goes_on_as_if_it_had_not_been(tmp_path: Path) -> None:
    whole = linear_run(tmp_path / "whole")
    train_line(whole, 8)

    def stop_at_5(step: int) -> tuple[torch.Tensor, dict[str, float]]:
        if step == 5:
            raise KeyboardInterrupt
        x = torch.randn(8, 3)
        return (broken.model(x) - x.sum(1, keepdim=True)).square().mean(), {}

    broken = linear_run(tmp_path / "broken")
    with pytest.raises(KeyboardInterrupt):
        broken.until(8, 1e-2, stop_at_5)
    broken.save()
    resumed = linear_run(tmp_path / "broken")
    assert resumed.step == 5
    train_line(resumed, 8)
    for name, value in whole.model.state_dict().items():
        assert torch.equal(value, resumed.model.state_dict()[name])
        assert torch.equal(whole.average.weights[name], resumed.average.weights[name])


def test_the_rate_rises_stays_and_falls() -> None:
    assert rate(0, 1000) < 0.02
    assert rate(500, 1000) == 1
    assert rate(999, 1000) < 0.02
    assert rate(500, 2000) == rate(500, 1000)


def test_autoencoder_and_denoiser_train_from_a_seed_to_a_pipeline(tmp_path: Path) -> None:
    short = autoencoder.AutoencoderPlan(pictures=8, joint_steps=2, decoder_steps=2, batch=2)
    vae = autoencoder.train(tmp_path, 0, short)
    pipeline = denoiser.train(vae, tmp_path, 0, denoiser.DenoiserPlan(pictures=8, steps=2, batch=2, sample_steps=1))
    architecture.save(pipeline, tmp_path / architecture.NAME)
    size = sum(p.stat().st_size for p in (tmp_path / architecture.NAME).rglob("*.safetensors"))
    assert size <= 12_000_000
    assert draw(load(tmp_path)).shape == (128, 128, 3)


# ---- adapters --------------------------------------------------------------------------------------------------


def test_the_stand_in_draws_and_each_adapter_changes_it(stand_in: Path) -> None:
    pipeline = load(stand_in)
    plain = draw(pipeline)
    for name, file in (("pixel", "pytorch_lora_weights.safetensors"), ("outline", "outline.safetensors")):
        pipeline.load_lora_weights(stand_in / "adapters" / name, weight_name=file)
        assert np.abs(draw(pipeline) - plain).mean() > 0.01
        pipeline.unload_lora_weights()
        assert (draw(pipeline) == plain).all()
    pipeline.unet = PeftModel.from_pretrained(pipeline.unet, stand_in / "adapters" / "night")
    assert np.abs(draw(pipeline) - plain).mean() > 0.01


def test_kohya_s_layout_means_the_same_as_the_adapter_it_was_written_from(tmp_path: Path, stand_in: Path) -> None:
    shape = NetworkConfig(Layout.KOHYA, rank=2, alpha=3, text=True)
    written = load(stand_in)
    lora.put_on(written, shape, seed=0, random_up=0.5)
    lora.write(written, shape, tmp_path / "some")
    loaded = load(stand_in)
    loaded.load_lora_weights(tmp_path / "some", weight_name="some.safetensors")
    np.testing.assert_allclose(draw(loaded), draw(written), atol=2e-2)


def test_peft_s_configuration_is_the_same_at_every_writing(stand_in: Path) -> None:
    config = json.loads((stand_in / "adapters" / "night" / "adapter_config.json").read_text())
    assert config["target_modules"] == sorted(config["target_modules"])
    assert (config["r"], config["lora_alpha"]) == (8, 8)
