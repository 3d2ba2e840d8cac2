"""Families whose prompts Qwen3-VL reads."""

from pathlib import Path
from typing import Any

import torch
from diffusers import (
    AutoencoderKLFlux2,
    AutoencoderKLQwenImage,
    AutoencoderKLQwenImage21,
    BriaFibo2Pipeline,
    BriaFibo2Transformer2DModel,
    FlowMatchEulerDiscreteScheduler,
    Ideogram4Pipeline,
    Ideogram4Transformer2DModel,
    NucleusMoEImagePipeline,
    NucleusMoEImageTransformer2DModel,
    QwenImage21Pipeline,
    QwenImage21Transformer2DModel,
)
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

from lorapool_runtime.engine.diffusers.families.processor import PicturesProcessor3
from tests import tiny
from tests.families import text

# Layers that the pipelines of some take for granted.
_DEEP = 36


def make_qwen_image_21(folder: Path) -> Path:
    """Write a Qwen-Image 2.1: one stream, and a VAE that knows how opaque a picture is."""
    torch.manual_seed(0)
    processor, marks = _processor()
    pipeline = QwenImage21Pipeline(
        scheduler=_flow(use_dynamic_shifting=True),
        vae=AutoencoderKLQwenImage21(
            base_dim=8,
            decoder_base_dim=8,
            z_dim=4,
            dim_mult=[1, 1, 1, 1, 1],
            num_res_blocks=1,
            temperal_downsample=[False] * 4,
            latents_mean=[0.0] * 4,
            latents_std=[1.0] * 4,
        ),
        text_encoder=text.make_qwen3_vl(len(processor.tokenizer), **marks),
        processor=processor,
        transformer=QwenImage21Transformer2DModel(
            in_channels=4,
            out_channels=4,
            num_layers=2,
            attention_head_dim=16,
            num_attention_heads=2,
            context_in_dim=text.WIDTH,
            axes_dims_rope=(4, 4, 8),
        ),
    )
    return _written(pipeline, folder)


def make_nucleus(folder: Path) -> Path:
    """Write a Nucleus-Image: experts in one block of its transformer."""
    torch.manual_seed(0)
    processor, marks = _processor()
    pipeline = NucleusMoEImagePipeline(
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
        text_encoder=text.make_qwen3_vl(len(processor.tokenizer), layers=8, **marks),
        processor=processor,
        transformer=NucleusMoEImageTransformer2DModel(
            in_channels=16,
            out_channels=4,
            num_layers=5,
            attention_head_dim=16,
            num_attention_heads=4,
            joint_attention_dim=text.WIDTH,
            axes_dims_rope=(4, 4, 8),
            num_experts=4,
            moe_intermediate_dim=16,
            capacity_factors=2.0,
        ),
    )
    # diffusers leaves these as the memory was: now and then there are numbers in it that are none.
    for name, weight in pipeline.transformer.named_parameters():
        if ".experts." in name:
            torch.nn.init.normal_(weight, std=0.1)
    return _written(pipeline, folder)


def make_fibo_2(folder: Path) -> Path:
    """Write a Fibo 2: blocks of its transformer read many layers of the language model."""
    torch.manual_seed(0)
    processor, marks = _processor()
    pipeline = BriaFibo2Pipeline(
        scheduler=_flow(use_dynamic_shifting=True),
        vae=_flux2_vae(),
        text_encoder=text.make_qwen3_vl(len(processor.tokenizer), layers=_DEEP, **marks),
        processor=processor,
        transformer=BriaFibo2Transformer2DModel(
            in_channels=4,
            dim=32,
            n_layers=2,
            n_refiner_layers=1,
            n_heads=2,
            cap_feat_dim=3 * text.WIDTH,
            injection_layer_ids=(0, 0, 0, 1, 1),
            perceiver_num_layers=1,
            min_num_gist_tokens=8,
            max_num_gist_tokens=16,
            gist_step=8,
            axes_dims=(4, 4, 8),
        ),
    )
    return _written(pipeline, folder)


def make_ideogram(folder: Path) -> Path:
    """Write an Ideogram 4: what guides it is a transformer of its own, without words."""
    torch.manual_seed(0)
    tokenizer = text.make_tokenizer()
    pipeline = Ideogram4Pipeline(
        scheduler=_flow(),
        vae=_flux2_vae(),
        text_encoder=text.make_qwen3_vl(len(tokenizer), layers=_DEEP).model,
        tokenizer=tokenizer,
        transformer=_ideogram(),
        unconditional_transformer=_ideogram(),
    )
    return _written(pipeline, folder)


def _ideogram() -> Any:
    return Ideogram4Transformer2DModel(
        in_channels=16,
        num_layers=2,
        attention_head_dim=16,
        num_attention_heads=2,
        intermediate_size=48,
        adaln_dim=16,
        llm_features_dim=13 * text.WIDTH,
        mrope_section=(4, 2, 2),
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


def _processor() -> tuple[Any, dict[str, int]]:
    tokenizer, marks = text.make_marked_tokenizer()
    images = Qwen2VLImageProcessorPil(patch_size=16)
    return PicturesProcessor3(images, tokenizer, chat_template=tokenizer.chat_template), marks


def _flow(**options: Any) -> Any:
    return FlowMatchEulerDiscreteScheduler(**{"shift": 3.0} | options)


def _written(pipeline: Any, folder: Path) -> Path:
    pipeline.save_pretrained(folder, safe_serialization=True)
    named = {"processor": "Qwen3VLProcessor"} if hasattr(pipeline, "processor") else {}
    return text.as_repositories_name_it(folder, **named)
