"""UNet and both text encoders, trained together from nothing on the autoencoder's latents."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from diffusers import AutoencoderKL
from PIL import Image
from torch import Tensor, nn
from torch.nn.functional import mse_loss

from lorapool_models.base import architecture, autoencoder
from lorapool_models.base.card import base_card
from lorapool_models.base.training import TrainingRun, threads_from_environment
from lorapool_models.pictures import corpus
from lorapool_models.pictures.scene import SIZE

PROMPTS: Final = (
    "a red circle on a blue background",
    "a yellow star on a purple background",
    "a white square on a green background",
    "an orange ring on a black background",
    "a pink cross on a cyan background",
    "a green triangle on a white background",
)
"""What the picture of the progress shows."""
STEPS: Final = 6
GUIDANCE: Final = 4.0


@dataclass(frozen=True)
class DenoiserPlan:
    """How long, on how much, how fast."""

    pictures: int = 12_000
    steps: int = 4200
    batch: int = 16
    lr: float = 1e-3
    prompt_dropout: float = 0.1
    """The share of pictures whose prompt is left out, so that guidance has something to lead away from."""
    sample_every: int = 500
    sample_steps: int = STEPS


class Denoiser(nn.Module):
    """The three parts that learn together."""

    def __init__(self, pipeline: Any) -> None:
        super().__init__()
        self.unet = pipeline.unet
        self.text_encoder = pipeline.text_encoder
        self.text_encoder_2 = pipeline.text_encoder_2

    def read(self, ids: Tensor) -> tuple[Tensor, Tensor]:
        """Token ids (one prompt a row) as the UNet takes them: hidden states of both encoders, pooled of the second."""
        first = self.text_encoder(ids, output_hidden_states=True)
        second = self.text_encoder_2(ids, output_hidden_states=True)
        return torch.cat([first.hidden_states[-2], second.hidden_states[-2]], dim=-1), second.text_embeds

    def forward(self, noisy: Tensor, at: Tensor, states: Tensor, pooled: Tensor) -> Tensor:
        """The velocity of the latents at these timesteps: sqrt(a) noise - sqrt(1 - a) latents."""
        conditions = {"text_embeds": pooled, "time_ids": size_ids(len(noisy))}
        velocity: Tensor = self.unet(noisy, at, encoder_hidden_states=states, added_cond_kwargs=conditions).sample
        return velocity


def size_ids(count: int) -> Tensor:
    """SDXL's conditions on size: of the original, the crop's corner, of the target."""
    return torch.tensor([[SIZE, SIZE, 0, 0, SIZE, SIZE]], dtype=torch.float32).expand(count, -1)


def train(vae: Any, folder: Path, seed: int, plan: DenoiserPlan | None = None) -> Any:
    """The trained pipeline, with this autoencoder, of which only the encoder is needed until a picture is drawn."""
    plan = plan or DenoiserPlan()
    pipeline = architecture.make(folder / "vocabulary", seed)
    pipeline.register_modules(vae=vae)
    model = Denoiser(pipeline)
    run = TrainingRun.resume("denoiser", model, model.parameters(), plan.lr, folder)
    latents, ids = _lessons(pipeline, folder, seed, plan)
    levels = noise_levels(pipeline)

    def loss_of(step: int) -> tuple[Tensor, dict[str, float]]:
        if step % plan.sample_every == 0 and step:
            sample(pipeline, run, folder / f"base-{step}.png", plan.sample_steps)
        chosen = torch.randint(len(latents), (plan.batch,))
        loss = noise_loss(model, levels, latents[chosen], ids[chosen], plan.prompt_dropout)
        return loss, {"loss": loss.item()}

    run.until(plan.steps, plan.lr, loss_of)
    model.load_state_dict(run.average.weights)
    draw(pipeline, folder / "base.png", plan.sample_steps)
    return pipeline


def blend(latents: Tensor, noise: Tensor, kept: Tensor) -> tuple[Tensor, Tensor]:
    """Latents of which a share is kept (one number a row), the rest noise; and their velocity."""
    signal, spoilt = kept.sqrt().view(-1, 1, 1, 1), (1 - kept).sqrt().view(-1, 1, 1, 1)
    return signal * latents + spoilt * noise, signal * noise - spoilt * latents


def _read_most(model: Denoiser, ids: Tensor, prompt_dropout: float) -> tuple[Tensor, Tensor]:
    """Some prompts count as zeros: what the pipeline takes for an empty negative prompt."""
    states, pooled = model.read(ids)
    kept = (torch.rand(len(ids)) >= prompt_dropout).to(states.dtype)
    return states * kept[:, None, None], pooled * kept[:, None]


def noise_loss(model: Denoiser, levels: Tensor, latents: Tensor, ids: Tensor, prompt_dropout: float) -> Tensor:
    """How well the velocity is predicted, at random levels of noise, by the prompts; a share of them is left out."""
    states, pooled = _read_most(model, ids, prompt_dropout)
    at = torch.randint(len(levels), (len(latents),))
    noisy, velocity = blend(latents, torch.randn(latents.shape), levels[at])
    return mse_loss(model(noisy, at, states, pooled), velocity)


def noise_levels(pipeline: Any) -> Tensor:
    """The share of the picture (in variance) that is left at each timestep."""
    levels: Tensor = pipeline.scheduler.alphas_cumprod.float()
    return levels


def _lessons(pipeline: Any, folder: Path, seed: int, plan: DenoiserPlan) -> tuple[Tensor, Tensor]:
    """Latents of the base's corpus, encoded once and kept, and the token ids of their prompts."""
    data, prompts = corpus.captioned(plan.pictures, seed)
    path = folder / f"latents-{plan.pictures}.pt"
    if not path.exists():
        torch.save(encoded(pipeline, data), path)
    latents: Tensor = torch.load(path, weights_only=True)
    return latents, token_ids(pipeline.tokenizer, prompts)


@torch.no_grad()
def encoded(pipeline: Any, data: corpus.Bytes) -> Tensor:
    """Pictures as the denoiser sees them: latents of a standard deviation near 1."""
    parts = [data[i : i + 64] for i in range(0, len(data), 64)]
    means = [pipeline.vae.encode(autoencoder.as_input(part)).latent_dist.mean for part in parts]
    latents: Tensor = torch.cat(means) * pipeline.vae.config.scaling_factor
    return latents


def token_ids(tokenizer: Any, prompts: list[str]) -> Tensor:
    ids: Tensor = tokenizer(prompts, padding="max_length", truncation=True, return_tensors="pt").input_ids
    return ids


def sample(pipeline: Any, run: TrainingRun, path: Path, steps: int) -> None:
    """Pictures by the averaged weights; the weights in training are put back, and so is the generator."""
    generator = torch.get_rng_state()
    training = {name: value.clone() for name, value in run.model.state_dict().items()}
    run.model.load_state_dict(run.average.weights)
    draw(pipeline, path, steps)
    run.model.load_state_dict(training)
    torch.set_rng_state(generator)


def draw(pipeline: Any, path: Path, steps: int) -> None:
    """One picture of each prompt, side by side."""
    pipeline.set_progress_bar_config(disable=True)
    generator = [torch.Generator().manual_seed(i) for i in range(len(PROMPTS))]
    made = pipeline(list(PROMPTS), num_inference_steps=steps, guidance_scale=GUIDANCE, generator=generator).images
    row = np.concatenate([np.asarray(image) for image in made], axis=1)
    Image.fromarray(row).save(path)


def _main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("models/weights") / architecture.NAME)
    given = parser.parse_args()
    threads_from_environment()
    folder = corpus.cache_folder() / f"seed-{given.seed}"
    # Its latents are final as soon as its encoder is; its decoder may still be in training elsewhere.
    encoder = autoencoder.train_jointly(folder, given.seed, autoencoder.AutoencoderPlan())
    pipeline = train(encoder, folder, given.seed)
    pipeline.register_modules(vae=AutoencoderKL.from_pretrained(folder / "vae"))
    architecture.save(pipeline, given.out)
    (given.out / "README.md").write_text(base_card())


if __name__ == "__main__":
    _main()
