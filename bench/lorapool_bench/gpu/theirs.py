"""diffusers' own pipeline, its code unmodified: eager, compiled, and its two ways to change adapters."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import torch
from diffusers import EulerAncestralDiscreteScheduler, StableDiffusionXLPipeline

from lorapool_bench.gpu.subject import PROMPT, GpuSubject
from lorapool_bench.measure.clock import wait
from lorapool_bench.ways.diffusers import Article, Hotswap
from lorapool_runtime.adapters.file import AdapterFile

_RANK: Final = 16


@dataclass(frozen=True)
class ServedByDiffusers:
    """A request that was served: what its adapter took to be there and to be gone, and all of it, in seconds."""

    switch_s: float
    took_s: float


class Theirs:
    """A pipeline as people write it, on the device."""

    def __init__(self, subject: GpuSubject) -> None:
        self.subject = subject
        self.device = subject.device.value
        made = StableDiffusionXLPipeline.from_pretrained(
            subject.folder, dtype=subject.torch_dtype, add_watermarker=False
        )
        made.scheduler = EulerAncestralDiscreteScheduler.from_config(made.scheduler.config)
        made.set_progress_bar_config(disable=True)
        self.pipeline: Any = made.to(self.device)
        # One picture after the other, as lorapool does: four at once need more of a card than all else.
        self.pipeline.vae.enable_slicing()

    def pictures(self, count: int, seed: int = 0) -> float:
        """Seconds that so many pictures of one batch take. Raises: ValueError where there are fewer."""
        subject = self.subject
        generators = [torch.Generator().manual_seed(seed + i) for i in range(count)]
        began = time.perf_counter()
        made = self.pipeline(
            [PROMPT] * count,
            negative_prompt=[""] * count,
            width=subject.side,
            height=subject.side,
            num_inference_steps=subject.steps,
            guidance_scale=subject.guidance_scale,
            generator=generators,
        )
        if len(made.images) != count:
            raise ValueError("a request without a picture")
        return time.perf_counter() - began

    def compile(self) -> float:
        """Seconds that the first picture of a compiled UNet takes."""
        self.pipeline.unet.compile(dynamic=False)
        return self.pictures(1)

    def load(self, file: AdapterFile) -> None:
        """Active, not fused."""
        self.pipeline.load_lora_weights(file.path, adapter_name="default")

    def unload(self) -> None:
        self.pipeline.unload_lora_weights()

    def article(self, files: Sequence[AdapterFile]) -> list[ServedByDiffusers]:
        """The article's flow: load and fuse, a picture, unfuse and unload; an adapter that is there already is kept."""
        way, active = Article(self.pipeline.unet, self.pipeline), False

        def change(file: AdapterFile) -> None:
            nonlocal active
            if active:
                way.leave()
            way.switch(file)
            active = True

        served = self._served(files, change)
        way.leave()
        return served

    def first_of_hotswap(self, file: AdapterFile) -> Hotswap:
        """Prepares the pipeline for adapters that take each other's place, with the first one."""
        self.pipeline.enable_lora_hotswap(target_rank=_RANK)
        return Hotswap(self.pipeline.unet, file, self.pipeline)

    def hotswap(self, way: Hotswap, files: Sequence[AdapterFile]) -> list[ServedByDiffusers]:
        """Each adapter's weights are written over the last one's, where it is another."""
        return self._served(files, way.switch)

    def _served(self, files: Sequence[AdapterFile], change: Callable[[AdapterFile], object]) -> list[ServedByDiffusers]:
        served, active = [], None
        for seed, file in enumerate(files):
            began = time.perf_counter()
            if file.identity != active:
                change(file)
                wait(self.device)
            active, switch_s = file.identity, time.perf_counter() - began
            served.append(ServedByDiffusers(switch_s, switch_s + self.pictures(1, seed)))
        return served
