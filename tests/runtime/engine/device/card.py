"""A device whose room a test decides about, and engines on it."""

import weakref
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import torch
from diffusers import UNet2DConditionModel
from tests import tiny
from tests.runtime.ask import adapter_file
from tests.runtime.conftest import load_reference
from tests.runtime.fake_cuda import FakeCuda
from tests.runtime.files import EVERY

from lorapool_api.kinds.base_model import BaseModelSpec, Dtype
from lorapool_api.kinds.runtime import Device
from lorapool_api.kinds.serving import ApplyMode, Serving, ServingDefaults, ServingLimits
from lorapool_api.kinds.sources import ModelSource
from lorapool_runtime.adapters.file import HostAdapter
from lorapool_runtime.engine.diffusers.device.accelerator import Cuda
from lorapool_runtime.engine.diffusers.engine import DiffusersEngine
from lorapool_runtime.engine.diffusers.load import load_engine

MIB = 1024**2
# Twice the usual size: four times its pixels.
LIMIT = (2 * tiny.SIZE) ** 2


@dataclass
class Card:
    """A device whose room a test decides about: asked at each forward with what goes in, (rows, channels, h, w)."""

    cuda: FakeCuda = field(default_factory=lambda: FakeCuda(total_bytes=1024 * MIB))
    denoiser_fits: Callable[[tuple[int, ...]], bool] = lambda shape: True
    decoder_fits: Callable[[tuple[int, ...]], bool] = lambda shape: True
    decoded: list[tuple[int, ...]] = field(default_factory=list)
    unets: weakref.WeakSet[UNet2DConditionModel] = field(default_factory=weakref.WeakSet)

    def denoise(self, shape: tuple[int, ...]) -> None:
        if not self.denoiser_fits(shape):
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")

    def decode(self, shape: tuple[int, ...]) -> None:
        self.decoded.append(shape)
        if not self.decoder_fits(shape):
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 4.00 GiB")


def make(
    model: Path,
    card: Card,
    mode: ApplyMode = ApplyMode.UNMERGED,
    max_batch: int = 1,
    device_bytes: int | None = None,
) -> DiffusersEngine:
    """An engine on the card."""
    usual = ServingDefaults(width=tiny.SIZE, height=tiny.SIZE)
    serving = Serving(mode=mode, max_batch=max_batch, defaults=usual, limits=ServingLimits(pixels=LIMIT))
    spec = BaseModelSpec(source=ModelSource.model_construct(path=str(model)), dtype=Dtype.FLOAT32)
    accelerator = Cuda(torch.device("cpu"), card.cuda)
    return load_engine(spec, Device.CPU, device_bytes, serving, accelerator=accelerator)


def latents(pixels: int) -> int:
    """Positions of a picture's latents: the tiny VAE halves each side."""
    return pixels // 4


def adapter(engine: DiffusersEngine, model: Path, folder: Path, kind: str) -> HostAdapter:
    return engine.read(adapter_file(EVERY[kind](load_reference(model), folder / kind.replace(" ", "-"))))
