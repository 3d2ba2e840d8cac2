"""A card for each test."""

from typing import Any

import pytest
import torch
from diffusers import UNet2DConditionModel
from diffusers.models.autoencoders.vae import Decoder
from tests.runtime.engine.device.card import Card


@pytest.fixture
def card(monkeypatch: pytest.MonkeyPatch) -> Card:
    made = Card()
    denoise, decode = UNet2DConditionModel.forward, Decoder.forward

    def denoised(self: Any, sample: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
        made.unets.add(self)
        made.denoise(tuple(sample.shape))
        return denoise(self, sample, *args, **kwargs)

    def decoded(self: Any, sample: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
        made.decode(tuple(sample.shape))
        return decode(self, sample, *args, **kwargs)

    monkeypatch.setattr(UNet2DConditionModel, "forward", denoised)
    monkeypatch.setattr(Decoder, "forward", decoded)
    return made
