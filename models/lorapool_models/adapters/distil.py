"""Teaching an adapter to do in a few steps what takes the base many: distillation of whole ways down.

From each of the noise levels at which the LCM scheduler stops, the teacher (the base, with guidance) goes all the way
down once; the student's idea of the finished picture is to be that end, at once (Luhman and Luhman,
arXiv:2101.02388; that guidance becomes part of the weights is from LCM-LoRA, arXiv:2311.05556).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import torch
from rich.console import Console
from torch import Tensor
from torch.nn.functional import huber_loss

from lorapool_models.base.denoiser import GUIDANCE, Denoiser, blend

STARTS: Final = (999, 759, 499, 259)
"""The LCM scheduler's timesteps for 4 steps: of 50 rungs, 20 apart, every twelfth or thirteenth from above."""
_STRIDE: Final = 65
"""Timesteps of one step of the teacher."""
_BATCH: Final = 24


@dataclass(frozen=True)
class Ways:
    """Where the teacher's ways begin and end: `noisy` at timestep `at`, with the prompt `ids`, becomes `picture`."""

    noisy: Tensor
    at: Tensor
    ids: Tensor
    picture: Tensor

    def __len__(self) -> int:
        return len(self.at)

    def some(self, chosen: Tensor) -> Ways:
        return Ways(self.noisy[chosen], self.at[chosen], self.ids[chosen], self.picture[chosen])


def split(noisy: Tensor, velocity: Tensor, kept: Tensor) -> tuple[Tensor, Tensor]:
    """Picture and noise: velocity and noisy picture are the two, turned by an angle; `kept` as in `blend`."""
    signal, spoilt = kept.sqrt().view(-1, 1, 1, 1), (1 - kept).sqrt().view(-1, 1, 1, 1)
    return signal * noisy - spoilt * velocity, spoilt * noisy + signal * velocity


@torch.no_grad()
def ways(model: Denoiser, levels: Tensor, ids: Tensor, shape: tuple[int, ...]) -> Ways:
    """The teacher's ways for these prompts, from every start: first from noise, then from its own pictures, noised.

    Args:
        model: the base alone, no adapter on it.
        levels: the share of the picture, in variance, at each timestep.
        shape: of one picture's latents.
    """
    console, found = Console(soft_wrap=True), []
    for first in range(0, len(ids), _BATCH):
        part = ids[first : first + _BATCH]
        read = model.read(part)
        picture = torch.zeros(len(part), *shape)
        for start in STARTS:
            at = torch.full((len(part),), start)
            noisy, _ = blend(picture, torch.randn(picture.shape), levels[at])
            picture = _down(model, levels, noisy, start, read)
            found.append(Ways(noisy, at, part, picture))
        console.print(f"teacher {first + len(part)}/{len(ids)}", highlight=False)
    columns = zip(*((w.noisy, w.at, w.ids, w.picture) for w in found), strict=True)
    return Ways(*(torch.cat(column) for column in columns))


def _down(model: Denoiser, levels: Tensor, noisy: Tensor, start: int, read: tuple[Tensor, Tensor]) -> Tensor:
    """All the way down by deterministic (DDIM) steps, with guidance."""
    states, pooled = read
    picture = noisy
    for timestep in range(start, 0, -_STRIDE):
        at = torch.full((len(noisy),), timestep)
        led = model(noisy, at, states, pooled)
        unguided = model(noisy, at, torch.zeros_like(states), torch.zeros_like(pooled))
        picture, noise = split(noisy, unguided + GUIDANCE * (led - unguided), levels[at])
        noisy, _ = blend(picture, noise, levels[(at - _STRIDE).clamp(min=0)])
    return picture


def distillation_loss(model: Denoiser, levels: Tensor, taught: Ways) -> Tensor:
    """How far the student's pictures are from the ends of the teacher's ways."""
    velocity = model(taught.noisy, taught.at, *model.read(taught.ids))
    picture, _ = split(taught.noisy, velocity, levels[taught.at])
    return huber_loss(picture, taught.picture, delta=0.1)
