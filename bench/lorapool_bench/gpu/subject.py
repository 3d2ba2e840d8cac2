"""The base whose pictures are timed, and the adapters that requests name."""

import random
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import file_digest
from pathlib import Path
from typing import Any, Final

import torch
from accelerate import init_empty_weights
from diffusers import UNet2DConditionModel

from lorapool_api.kinds.base_model import BaseModelSpec, Dtype
from lorapool_api.kinds.runtime import Device
from lorapool_api.kinds.serving import SchedulerName
from lorapool_api.kinds.sources import ModelSource
from lorapool_bench.subjects.adapters import KINDS, write_adapter
from lorapool_bench.subjects.random_pipeline import save_pipeline
from lorapool_bench.subjects.small import SMALL
from lorapool_bench.subjects.unet import SHAPES
from lorapool_runtime.adapters.check import check_file
from lorapool_runtime.adapters.file import AdapterFile
from lorapool_runtime.engine.contract import Recipe
from lorapool_runtime.engine.diffusers.host_threads import one_thread

ADAPTERS: Final = 130
PROMPT: Final = "a red circle on a blue background"
_KIND: Final = "46 MB"
# SDXL's own VAE: three halvings, eight pixels to a latent.
_VAE: Final = (128, 256, 512, 512)
_TEXT_LAYERS: Final = (12, 32)
_TORCH: Final = {Dtype.FLOAT16: torch.float16, Dtype.FLOAT32: torch.float32}
# The last number of a file as float16, or the upper half of it as float32: small, and finite for any adapter.
_LAST_NUMBER: Final = 0x2C00


@dataclass(frozen=True)
class GpuSubject:
    """A base in a folder, and the picture that is asked of it.

    Attributes:
        name: in words, for the page.
        side: of a picture, in pixels.
    """

    name: str
    folder: Path
    device: Device
    dtype: Dtype
    side: int
    steps: int
    guidance_scale: float = 5.0

    @property
    def torch_dtype(self) -> torch.dtype:
        return _TORCH[self.dtype]

    @property
    def spec(self) -> BaseModelSpec:
        # Not validated: a temporary folder may have any name.
        return BaseModelSpec(source=ModelSource.model_construct(path=str(self.folder)), dtype=self.dtype)

    def recipe(self, seed: int) -> Recipe:
        """One picture."""
        side, scheduler = self.side, SchedulerName.EULER_A
        return Recipe(PROMPT, "", side, side, self.steps, self.guidance_scale, scheduler, seed, images=1)


def sdxl(folder: Path, steps: int | None = None) -> GpuSubject:
    """Written there: random weights in the shapes of SDXL's UNet, VAE and text encoders, but for a small vocabulary."""
    save_pipeline(folder, SHAPES["sdxl"], torch.float16, vae_channels=_VAE, text_layers=_TEXT_LAYERS)
    return GpuSubject("SDXL's shapes, random weights", folder, Device.CUDA, Dtype.FLOAT16, 1024, steps or 25)


def small(steps: int | None = None) -> GpuSubject:
    """The trained small base of this repository, on the CPU."""
    return GpuSubject("the small base", SMALL, Device.CPU, Dtype.FLOAT32, 128, steps or 6)


class ZipfAdapters:
    """Files of rank 16 on the attention, written when they are first asked for.

    They differ in one number of the last tensor: what one costs depends on its size, and not on what it says.
    """

    def __init__(self, subject: GpuSubject, folder: Path) -> None:
        self._subject = subject
        self._folder = folder
        self._files: dict[int, AdapterFile] = {}

    def file(self, number: int) -> AdapterFile:
        if number not in self._files:
            self._files[number] = self._write(number)
        return self._files[number]

    @one_thread()
    def _write(self, number: int) -> AdapterFile:
        path = self._folder / f"{number}.safetensors"
        if number == 0:
            return write_adapter(path, self._unet(), KINDS[_KIND], self._subject.torch_dtype, seed=0)
        shutil.copyfile(self.file(0).path, path)
        with path.open("r+b") as file:
            file.seek(-2, 2)
            file.write((_LAST_NUMBER + number).to_bytes(2, "little"))
            file.seek(0)
            return AdapterFile(path, file_digest(file, "sha256").hexdigest(), check_file(path, KINDS[_KIND].rank))

    def _unet(self) -> Any:
        """Names and shapes alone."""
        config = UNet2DConditionModel.load_config(self._subject.folder, subfolder="unet")
        with init_empty_weights():
            return UNet2DConditionModel.from_config(config)


def by_zipf(requests: int, adapters: int = ADAPTERS, seed: int = 0) -> Sequence[int]:
    """The adapter of each request: the n-th is wanted 1/n as often as the first."""
    generator = random.Random(seed)  # noqa: S311 -- the same each time
    return generator.choices(range(adapters), weights=[1 / (n + 1) for n in range(adapters)], k=requests)
