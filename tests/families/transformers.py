"""Families with a transformer, beside SD3 and Flux.1 themselves."""

from pathlib import Path
from typing import Any

import torch
from diffusers import (
    AutoencoderKLFlux2,
    AutoencoderKLQwenImage,
    ChromaPipeline,
    ChromaTransformer2DModel,
    FlowMatchEulerDiscreteScheduler,
    Flux2KleinPipeline,
    Flux2Pipeline,
    Flux2Transformer2DModel,
    QwenImagePipeline,
    QwenImageTransformer2DModel,
    ZImagePipeline,
    ZImageTransformer2DModel,
)

from tests import tiny, tiny_families
from tests.families import text

# Flux.2 reads the prompt in three layers of its text encoder.
_READ_LAYERS = 3


def make_qwen_image(folder: Path) -> Path:
    """Write a Qwen-Image: a VAE for video, of which a picture is one frame, and a vision language model for prompts."""
    torch.manual_seed(0)
    tokenizer = text.make_tokenizer()
    pipeline = QwenImagePipeline(
        scheduler=_flow(use_dynamic_shifting=True),
        vae=AutoencoderKLQwenImage(
            base_dim=8,
            z_dim=4,
            dim_mult=[1, 2],
            num_res_blocks=1,
            temperal_downsample=[False],
            latents_mean=[0.0] * 4,
            latents_std=[1.0] * 4,
        ),
        text_encoder=text.make_qwen25_vl(len(tokenizer)),
        tokenizer=tokenizer,
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
    return _written(pipeline, folder)


def make_z_image(folder: Path) -> Path:
    """Write a Z-Image: prompt and picture are one sequence."""
    torch.manual_seed(0)
    tokenizer = text.make_tokenizer()
    pipeline = ZImagePipeline(
        scheduler=_flow(shift=6.0),
        vae=tiny.make_vae(shift=0.1),
        text_encoder=text.make_qwen3_model(len(tokenizer)),
        tokenizer=tokenizer,
        transformer=ZImageTransformer2DModel(
            in_channels=4,
            dim=32,
            n_layers=2,
            n_refiner_layers=1,
            n_heads=2,
            n_kv_heads=2,
            cap_feat_dim=text.WIDTH,
            axes_dims=[4, 4, 8],
            axes_lens=[1024, 64, 64],
        ),
    )
    return _written(pipeline, folder)


def make_flux2(folder: Path) -> Path:
    """Write a Flux.2 dev: guidance is an input of its transformer."""
    torch.manual_seed(0)
    tokenizer = text.make_tokenizer()
    pipeline = Flux2Pipeline(
        scheduler=_flow(use_dynamic_shifting=True),
        vae=_flux2_vae(),
        text_encoder=text.make_mistral3(len(tokenizer), layers=31),
        tokenizer=tokenizer,
        transformer=_flux2(guidance_embeds=True),
    )
    return _written(pipeline, folder)


def make_klein(folder: Path, *, is_distilled: bool = False) -> Path:
    """Write a Flux.2 klein."""
    torch.manual_seed(0)
    tokenizer = text.make_tokenizer()
    pipeline = Flux2KleinPipeline(
        scheduler=_flow(use_dynamic_shifting=True),
        vae=_flux2_vae(),
        text_encoder=text.make_qwen3(len(tokenizer), layers=28),
        tokenizer=tokenizer,
        transformer=_flux2(guidance_embeds=False),
        is_distilled=is_distilled,
    )
    return _written(pipeline, folder)


def make_chroma(folder: Path) -> Path:
    """Write a Chroma: Flux.1 without its guidance, and with T5 alone."""
    torch.manual_seed(0)
    words = tiny_families.t5_tokenizer()
    pipeline = ChromaPipeline(
        scheduler=_flow(),
        vae=tiny.make_vae(shift=0.1),
        text_encoder=tiny_families.make_t5(len(words)),
        tokenizer=words,
        transformer=ChromaTransformer2DModel(
            in_channels=16,
            num_layers=2,
            num_single_layers=2,
            attention_head_dim=16,
            num_attention_heads=2,
            joint_attention_dim=tiny_families.T5_WIDTH,
            axes_dims_rope=(4, 4, 8),
            approximator_num_channels=8,
            approximator_hidden_dim=32,
            approximator_layers=1,
        ),
    )
    return _written(pipeline, folder)


def _flux2(*, guidance_embeds: bool) -> Any:
    return Flux2Transformer2DModel(
        in_channels=16,
        num_layers=1,
        num_single_layers=2,
        attention_head_dim=16,
        num_attention_heads=2,
        joint_attention_dim=_READ_LAYERS * text.WIDTH,
        timestep_guidance_channels=32,
        axes_dims_rope=(4, 4, 4, 4),
        guidance_embeds=guidance_embeds,
    )


def _flux2_vae() -> Any:
    return AutoencoderKLFlux2(
        block_out_channels=(32, 64),
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        latent_channels=4,
        layers_per_block=1,
        sample_size=tiny.SIZE,
    )


def _flow(**options: Any) -> Any:
    return FlowMatchEulerDiscreteScheduler(**{"shift": 3.0} | options)


def _written(pipeline: Any, folder: Path) -> Path:
    pipeline.save_pretrained(folder, safe_serialization=True)
    return folder
