"""Families with a UNet, beside SDXL and SD 1.5 themselves."""

from pathlib import Path
from typing import Any

import torch
from diffusers import (
    EulerDiscreteScheduler,
    StableDiffusionInpaintPipeline,
    StableDiffusionPipeline,
    StableDiffusionXLImg2ImgPipeline,
    StableDiffusionXLInpaintPipeline,
    UNet2DConditionModel,
)
from transformers import CLIPTextModel, CLIPTextModelWithProjection

from tests import tiny

SD2_WIDTH = 1024
"""By which SD 2.x is known: the width of its text states."""


def make_sd2(folder: Path) -> Path:
    """Write an SD 2.x pipeline, which predicts the velocity."""
    parts = _parts(folder, prediction_type="v_prediction")
    # Wide enough for the family to be known, and with as little else as can be.
    text = tiny.text_config(len(parts["tokenizer"]))
    text.hidden_size, text.num_hidden_layers = SD2_WIDTH, 1
    text.num_attention_heads = 16
    unet = make_unet(cross_attention_dim=SD2_WIDTH, use_linear_projection=True)
    pipeline = StableDiffusionPipeline(**parts, **_no_checker(), text_encoder=CLIPTextModel(text), unet=unet)
    return _written(pipeline, folder)


def make_sd15_inpainting(folder: Path) -> Path:
    """Write an SD 1.5 that learned to paint into masks: its UNet reads mask and masked picture too."""
    parts = _parts(folder)
    text = CLIPTextModel(tiny.text_config(len(parts["tokenizer"])))
    unet = make_unet(in_channels=9)
    return _written(StableDiffusionInpaintPipeline(**parts, **_no_checker(), text_encoder=text, unet=unet), folder)


def make_refiner(folder: Path) -> Path:
    """Write an SDXL refiner: the second text encoder alone, and a score for beauty beside the sizes."""
    parts = _parts(folder)
    text = CLIPTextModelWithProjection(tiny.text_config(len(parts["tokenizer"])))
    pipeline = StableDiffusionXLImg2ImgPipeline(
        scheduler=parts["scheduler"],
        vae=parts["vae"],
        text_encoder=None,
        tokenizer=None,
        text_encoder_2=text,
        tokenizer_2=parts["tokenizer"],
        unet=make_unet(**_sized(5), use_linear_projection=True),
        requires_aesthetics_score=True,
        add_watermarker=False,
    )
    return _written(pipeline, folder)


def make_xl_inpainting(folder: Path) -> Path:
    """Write an SDXL that learned to paint into masks."""
    parts = _parts(folder)
    text = tiny.text_config(len(parts["tokenizer"]))
    pipeline = StableDiffusionXLInpaintPipeline(
        **parts,
        text_encoder=CLIPTextModel(text),
        text_encoder_2=CLIPTextModelWithProjection(text),
        tokenizer_2=parts["tokenizer"],
        unet=make_unet(**_sized(6), in_channels=9, cross_attention_dim=2 * tiny.WIDTH, use_linear_projection=True),
        add_watermarker=False,
    )
    return _written(pipeline, folder)


def make_unet(**options: Any) -> Any:
    usual: dict[str, Any] = {
        "sample_size": tiny.SIZE // 2,
        "block_out_channels": (32, 64),
        "layers_per_block": 1,
        "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D"),
        "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D"),
        "attention_head_dim": 4,
        "cross_attention_dim": tiny.WIDTH,
    }
    return UNet2DConditionModel(**usual | options)


def _sized(numbers: int) -> dict[str, Any]:
    """So many numbers of sizes and places, beside the pooled text."""
    return {
        "addition_embed_type": "text_time",
        "addition_time_embed_dim": 8,
        "projection_class_embeddings_input_dim": numbers * 8 + tiny.WIDTH,
    }


def _parts(folder: Path, **scheduler: Any) -> dict[str, Any]:
    torch.manual_seed(0)
    return {
        "scheduler": EulerDiscreteScheduler(
            beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", steps_offset=1, **scheduler
        ),
        "vae": tiny.make_vae(),
        "tokenizer": tiny.make_tokenizer(folder.parent / f"{folder.name}-vocabulary"),
    }


def _no_checker() -> dict[str, Any]:
    return {"safety_checker": None, "feature_extractor": None, "requires_safety_checker": False}


def _written(pipeline: Any, folder: Path) -> Path:
    pipeline.save_pretrained(folder, safe_serialization=True)
    return folder
