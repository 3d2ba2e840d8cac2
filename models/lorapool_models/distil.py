"""Teaching an adapter to do in a few steps what takes the base many: latent consistency distillation.

The teacher, with guidance, goes one step down a ladder of 50 noise levels; the student's idea of the finished picture
must be the same before and after that step. (Luo et al., "LCM-LoRA", 2023: guidance becomes part of the weights.)
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor
from torch.nn.functional import huber_loss

from lorapool_models.denoiser import GUIDANCE, Denoiser, blend

RUNGS: Final = 50
"""The LCM scheduler's `original_inference_steps`."""
_DATA_STD: Final = 0.5
_SHARPNESS: Final = 10.0
"""The LCM scheduler's `timestep_scaling`."""

Switch = Callable[[bool], None]
"""Puts the adapter on (True) or off: one set of weights is student and teacher."""


@dataclass(frozen=True)
class Ladder:
    """The noise levels: the share of the picture, in variance, at each of the base's timesteps."""

    levels: Tensor

    @property
    def rungs(self) -> Tensor:
        """The timesteps of the ladder, upwards."""
        step = len(self.levels) // RUNGS
        return torch.arange(1, RUNGS + 1) * step - 1

    def noised(self, picture: Tensor, noise: Tensor, at: Tensor) -> Tensor:
        return blend(picture, noise, self.levels[at])[0]

    def split(self, noisy: Tensor, velocity: Tensor, at: Tensor) -> tuple[Tensor, Tensor]:
        """Picture and noise: velocity and noisy picture are the two, turned by an angle."""
        kept = self.levels[at].view(-1, 1, 1, 1)
        signal, spoilt = kept.sqrt(), (1 - kept).sqrt()
        return signal * noisy - spoilt * velocity, spoilt * noisy + signal * velocity


def consistent(noisy: Tensor, picture: Tensor, at: Tensor) -> Tensor:
    """The student's answer: at low noise what it was given, at high noise its picture. As the LCM scheduler has it."""
    scaled = at.view(-1, 1, 1, 1) * _SHARPNESS
    skip = _DATA_STD**2 / (scaled**2 + _DATA_STD**2)
    out = scaled / (scaled**2 + _DATA_STD**2).sqrt()
    return skip * noisy + out * picture


def distillation_loss(model: Denoiser, ladder: Ladder, latents: Tensor, ids: Tensor, with_adapter: Switch) -> Tensor:
    """How far the student's answers above and below a rung of the ladder are from each other."""
    states, pooled = model.read(ids)
    rung = torch.randint(1, RUNGS, (len(latents),))
    above, below = ladder.rungs[rung], ladder.rungs[rung - 1]
    noisy = ladder.noised(latents, torch.randn(latents.shape), above)
    answer = _answer(model, ladder, noisy, above, (states, pooled))
    with torch.no_grad():
        lower = _teacher_step(model, ladder, noisy, (above, below), (states, pooled), with_adapter)
        target = _answer(model, ladder, lower, below, (states, pooled))
    return huber_loss(answer, target, delta=0.01)


def _answer(model: Denoiser, ladder: Ladder, noisy: Tensor, at: Tensor, told: tuple[Tensor, Tensor]) -> Tensor:
    picture, _ = ladder.split(noisy, model(noisy, at, *told), at)
    return consistent(noisy, picture, at)


def _teacher_step(
    model: Denoiser,
    ladder: Ladder,
    noisy: Tensor,
    steps: tuple[Tensor, Tensor],
    told: tuple[Tensor, Tensor],
    with_adapter: Switch,
) -> Tensor:
    """One deterministic (DDIM) step of the base alone, with guidance."""
    above, below = steps
    states, pooled = told
    with_adapter(False)
    led = model(noisy, above, states, pooled)
    untold = model(noisy, above, torch.zeros_like(states), torch.zeros_like(pooled))
    with_adapter(True)
    picture, noise = ladder.split(noisy, untold + GUIDANCE * (led - untold), above)
    return ladder.noised(picture, noise, below)
