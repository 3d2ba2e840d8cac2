"""Families that begin with a picture, and look at it."""

from pathlib import Path
from typing import Any, Final

import torch
from diffusers import (
    AutoencoderKLQwenImage,
    FlowMatchEulerDiscreteScheduler,
    QwenImageEditPipeline,
    QwenImageTransformer2DModel,
)
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

from lorapool_runtime.engine.diffusers.families.processor import PicturesProcessor
from tests.families import text

# The text encoder is shown a few patches.
_PIXELS: Final = 64 * 28 * 28


def make_qwen_edit(folder: Path, kind: Any = QwenImageEditPipeline) -> Path:
    """Write a Qwen-Image-Edit. It enlarges pictures to a million pixels: its VAE makes a latent of 16 x 16 of them."""
    torch.manual_seed(0)
    tokenizer, marks = text.make_marked_tokenizer()
    pipeline = kind(
        scheduler=FlowMatchEulerDiscreteScheduler(shift=3.0, use_dynamic_shifting=True),
        vae=AutoencoderKLQwenImage(
            base_dim=8,
            z_dim=4,
            dim_mult=[1, 1, 1, 1, 1],
            num_res_blocks=1,
            temperal_downsample=[False] * 4,
            latents_mean=[0.0] * 4,
            latents_std=[1.0] * 4,
        ),
        text_encoder=text.make_qwen25_vl(len(tokenizer), **marks),
        tokenizer=tokenizer,
        processor=PicturesProcessor(Qwen2VLImageProcessorPil(min_pixels=28 * 28, max_pixels=_PIXELS), tokenizer),
        transformer=QwenImageTransformer2DModel(
            in_channels=16,
            out_channels=4,
            num_layers=2,
            attention_head_dim=16,
            num_attention_heads=2,
            joint_attention_dim=text.WIDTH,
            axes_dims_rope=(4, 4, 8),
        ),
    )
    pipeline.save_pretrained(folder, safe_serialization=True)
    return text.as_repositories_name_it(folder, processor="Qwen2VLProcessor")
