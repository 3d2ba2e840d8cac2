"""The autoencoder: pictures of 128 x 128 to latents of 4 x 16 x 16 and back.

It is trained on crops: convolutions learn the same from a quarter of a picture in a quarter of the time. First both
halves together; then the encoder is fixed, so that models can learn from its latents, and the decoder alone goes on.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from diffusers import AutoencoderKL
from PIL import Image
from torch import Tensor
from torch.nn.functional import avg_pool2d, mse_loss

from lorapool_models.base.training import TrainingRun, threads_from_environment
from lorapool_models.pictures import corpus
from lorapool_models.pictures.corpus import Bytes
from lorapool_models.pictures.scene import SIZE

CHANNELS: Final = (16, 32, 64, 64)
NORM_GROUPS: Final = 2
"""Few: a norm over two channels of a plain area would forget its colour."""
LATENT_CELL: Final = 8
"""Pixels on each side of what one latent stands for."""


@dataclass(frozen=True)
class AutoencoderPlan:
    """How long each part of the training takes."""

    pictures: int = 6000
    joint_steps: int = 5600
    decoder_steps: int = 1000
    crop: int = 64
    batch: int = 8
    lr: float = 2e-3
    kl: float = 2e-4
    hint: float = 0.1
    """How much, at first, three of the latent channels are drawn towards their cell's colour; fades by half-time."""
    blur: float = 0.05
    """Noise on the latents that the decoder learns to see past, in their standard deviations."""


def make(seed: int, channels: tuple[int, ...] = CHANNELS) -> Any:
    """An untrained autoencoder, by default of 0.98 million parameters."""
    torch.manual_seed(seed)
    return AutoencoderKL(
        block_out_channels=channels,
        down_block_types=("DownEncoderBlock2D",) * len(channels),
        up_block_types=("UpDecoderBlock2D",) * len(channels),
        layers_per_block=1,
        norm_num_groups=NORM_GROUPS,
        latent_channels=4,
        sample_size=SIZE,
        force_upcast=False,
    )


def train(folder: Path, seed: int, plan: AutoencoderPlan | None = None) -> Any:
    """The trained autoencoder; its latents have a mean of 0 and a deviation of 1."""
    plan = plan or AutoencoderPlan()
    encoder = train_jointly(folder, seed, plan)
    return train_decoder(encoder, folder, seed, plan)


def train_jointly(folder: Path, seed: int, plan: AutoencoderPlan) -> Any:
    """Encoder and decoder, good enough for the encoder to be final."""
    data = corpus.of_every_kind(plan.pictures, seed)
    vae = make(seed)
    run = TrainingRun.resume("vae-joint", vae, vae.parameters(), plan.lr, folder)

    def loss_of(step: int) -> tuple[Tensor, dict[str, float]]:
        x = _crops(data, plan)
        posterior = vae.encode(x).latent_dist
        hint = plan.hint * max(0.0, 1 - 2 * step / plan.joint_steps) * _far_from_colours(posterior.mean, x)
        y = vae.decode(posterior.sample()).sample
        off, said = _difference(y, x)
        kl = posterior.kl().mean() / posterior.mean[0].numel()
        return off + plan.kl * kl + hint, {**said, "kl": kl.item()}

    run.until(plan.joint_steps, plan.lr, loss_of)
    vae.load_state_dict(run.average.weights)
    settle(vae, data)
    return vae


def train_decoder(vae: Any, folder: Path, seed: int, plan: AutoencoderPlan) -> Any:
    """The decoder alone, on latents that are a little off, as a denoiser's are."""
    data = corpus.of_every_kind(plan.pictures, seed)
    vae.encoder.requires_grad_(False)
    vae.quant_conv.requires_grad_(False)
    trained = [p for p in vae.parameters() if p.requires_grad]
    run = TrainingRun.resume("vae-decoder", vae, trained, plan.lr, folder)

    def loss_of(step: int) -> tuple[Tensor, dict[str, float]]:
        x = _crops(data, plan)
        with torch.no_grad():
            latents = vae.encode(x).latent_dist.mean
        y = vae.decode(latents + torch.randn_like(latents) * plan.blur * torch.rand(len(x), 1, 1, 1)).sample
        if step % 200 == 0:
            sample(vae, data, folder / "vae.png")
        return _difference(y, x)

    run.until(plan.decoder_steps, plan.lr / 2, loss_of)
    vae.load_state_dict(run.average.weights)
    sample(vae, data, folder / "vae.png")
    return vae


def as_input(data: Bytes) -> Tensor:
    """Bytes N x H x W x 3 as the autoencoder takes them: N x 3 x H x W in -1..1."""
    return torch.from_numpy(np.array(data)).permute(0, 3, 1, 2).float() / 127.5 - 1


def as_bytes(x: Tensor) -> Bytes:
    """The inverse of `as_input`."""
    pixels = ((x.clamp(-1, 1) + 1) * 127.5 + 0.5).permute(0, 2, 3, 1)
    return np.asarray(pixels.to(torch.uint8).numpy(), np.uint8)


def _crops(data: Bytes, plan: AutoencoderPlan) -> Tensor:
    """Random crops that keep to the grid of latents: a mosaic's tiles lie on it too."""
    chosen = torch.randint(len(data), (plan.batch,)).tolist()
    places = (torch.randint((SIZE - plan.crop) // LATENT_CELL + 1, (plan.batch, 2)) * LATENT_CELL).tolist()
    cut = [data[i, r : r + plan.crop, c : c + plan.crop] for i, (r, c) in zip(chosen, places, strict=True)]
    return as_input(np.stack(cut))


def _difference(y: Tensor, x: Tensor) -> tuple[Tensor, dict[str, float]]:
    """Colours and edges: the second keeps outlines sharp where the first alone would blur them."""
    colour = (y - x).abs().mean()
    edges = (y.diff(dim=-1) - x.diff(dim=-1)).abs().mean() + (y.diff(dim=-2) - x.diff(dim=-2)).abs().mean()
    return colour + mse_loss(y, x) + edges, {"colour": colour.item(), "edges": edges.item()}


def _far_from_colours(latents: Tensor, x: Tensor) -> Tensor:
    """Left alone, the encoder finds brightness at once but the two axes of hue only after a thousand steps each."""
    colours = 3 * avg_pool2d(x, LATENT_CELL)
    return mse_loss(latents[:, :3], colours)


@torch.no_grad()
def settle(vae: Any, data: Bytes) -> None:
    """Make each latent channel's mean 0 and its deviation 1, by the convolutions next to the latents alone."""
    latents = vae.encode(as_input(data[:256])).latent_dist.mean
    mean, deviation = latents.mean((0, 2, 3)), latents.std((0, 2, 3))
    channels = len(mean)
    into, out = vae.quant_conv, vae.post_quant_conv
    into.weight[:channels] /= deviation[:, None, None, None]
    into.bias[:channels] = (into.bias[:channels] - mean) / deviation
    into.bias[channels:] -= 2 * deviation.log()  # the posterior's logarithmic variance
    out.bias += out.weight[:, :, 0, 0] @ mean
    out.weight *= deviation[None, :, None, None]
    vae.register_to_config(scaling_factor=1.0)


@torch.no_grad()
def sample(vae: Any, data: Bytes, path: Path, count: int = 8) -> None:
    """Pictures above, what comes back of them below."""
    x = as_input(data[:count])
    y = vae.decode(vae.encode(x).latent_dist.mean).sample
    rows = [np.concatenate(list(as_bytes(t)), axis=1) for t in (x, y)]
    Image.fromarray(np.concatenate(rows)).resize((count * SIZE * 2, 2 * SIZE * 2), Image.Resampling.NEAREST).save(path)


def _main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    seed = parser.parse_args().seed
    threads_from_environment()
    folder = corpus.cache_folder() / f"seed-{seed}"
    train(folder, seed).save_pretrained(folder / "vae")


if __name__ == "__main__":
    _main()
