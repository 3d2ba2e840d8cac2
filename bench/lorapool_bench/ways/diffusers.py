"""diffusers' own ways to switch, its code unmodified: the article's flow, and hotswap."""

from pathlib import Path
from typing import Any

from diffusers import AutoencoderKL, EulerDiscreteScheduler, StableDiffusionXLPipeline

from lorapool_bench.measure.clock import Parts
from lorapool_runtime.adapters.file import AdapterFile


def pipeline_of(unet: Any) -> Any:
    """An SDXL pipeline whose UNet is this one; what adapters of a UNet do not need is missing or tiny."""
    pipeline = StableDiffusionXLPipeline(
        vae=AutoencoderKL(block_out_channels=(32,)),
        text_encoder=None,
        text_encoder_2=None,
        tokenizer=None,
        tokenizer_2=None,
        unet=unet,
        scheduler=EulerDiscreteScheduler(),
        add_watermarker=False,
    )
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


class Article:
    """Load and fuse the new adapter; unfuse and unload the old one.

    Fusing writes into the weights that all twins share: `leave` must follow each `switch`. What leaving costs is the
    other half of a switch.
    """

    name = "article"

    def __init__(self, unet: Any, pipeline: Any = None) -> None:
        """`pipeline`: a whole one around that UNet, where pictures are wanted."""
        self.unet = unet
        self._pipeline = pipeline_of(unet) if pipeline is None else pipeline

    def prepare(self, to: AdapterFile) -> None:
        """Nothing: every switch starts from the same state."""

    def switch(self, to: AdapterFile) -> Parts:
        parts = Parts()
        with parts.part("load"):
            self._pipeline.load_lora_weights(Path(to.path), adapter_name="default")
        with parts.part("fuse"):
            self._pipeline.fuse_lora()
        return parts

    def leave(self) -> Parts:
        parts = Parts()
        with parts.part("unfuse"):
            self._pipeline.unfuse_lora()
        with parts.part("unload"):
            self._pipeline.unload_lora_weights()
        return parts


class Hotswap:
    """The weights of one adapter, written over by the next one's; nothing is fused."""

    name = "hotswap"

    def __init__(self, unet: Any, first: AdapterFile, pipeline: Any = None) -> None:
        """`pipeline`: a whole one around that UNet, where pictures are wanted."""
        self.unet = unet
        self._pipeline = pipeline_of(unet) if pipeline is None else pipeline
        self._pipeline.load_lora_weights(Path(first.path), adapter_name="default")

    def prepare(self, to: AdapterFile) -> None:
        """Nothing: every switch starts from the same state."""

    def switch(self, to: AdapterFile) -> Parts:
        parts = Parts()
        with parts.part("hotswap"):
            self._pipeline.load_lora_weights(Path(to.path), adapter_name="default", hotswap=True)
        return parts

    def leave(self) -> Parts:
        return Parts()
