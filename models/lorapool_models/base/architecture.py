"""The base model's architecture: SDXL in everything but size."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch
from diffusers import EulerDiscreteScheduler, StableDiffusionXLPipeline, UNet2DConditionModel
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

from lorapool_models.base import autoencoder, words
from lorapool_models.pictures.scene import SIZE

NAME: Final = "shapes-xl"
LATENT: Final = SIZE // autoencoder.LATENT_CELL


@dataclass(frozen=True)
class Size:
    """The widths of a model of this family."""

    unet: tuple[int, int] = (48, 96)
    text: tuple[int, int] = (32, 64)
    vae: tuple[int, ...] = autoencoder.CHANNELS
    time: int = 32


def make(folder: Path, seed: int, size: Size | None = None) -> Any:
    """An untrained pipeline. Its vocabulary is written to the folder."""
    size = size or Size()
    torch.manual_seed(seed)
    tokenizer = words.tokenizer(folder)
    return StableDiffusionXLPipeline(
        vae=autoencoder.make(seed, size.vae),
        text_encoder=CLIPTextModel(_text(size.text[0], tokenizer)),
        text_encoder_2=CLIPTextModelWithProjection(_text(size.text[1], tokenizer)),
        tokenizer=tokenizer,
        tokenizer_2=tokenizer,
        unet=_unet(size),
        scheduler=scheduler(),
        add_watermarker=False,
    )


def scheduler() -> Any:
    """SDXL's noise, taken to its end: plain backgrounds would show the little that SDXL's own last step leaves."""
    return EulerDiscreteScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        prediction_type="v_prediction",
        rescale_betas_zero_snr=True,
        timestep_spacing="trailing",
    )


def _text(width: int, tokenizer: Any) -> Any:
    return CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=width,
        projection_dim=width,
        intermediate_size=4 * width,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=words.MAX_TOKENS,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )


def _unet(size: Size) -> Any:
    return UNet2DConditionModel(
        sample_size=LATENT,
        block_out_channels=size.unet,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        layers_per_block=2,
        transformer_layers_per_block=(1, 2),
        attention_head_dim=(2, 4),
        norm_num_groups=8,
        use_linear_projection=True,
        cross_attention_dim=sum(size.text),
        addition_embed_type="text_time",
        addition_time_embed_dim=size.time,
        projection_class_embeddings_input_dim=6 * size.time + size.text[1],
    )


def save(pipeline: Any, folder: Path) -> None:
    """UNet and autoencoder in half precision, as large models are shipped.

    The text encoders stay in single precision: transformers loads a model in the precision of its file, diffusers in
    single precision, and a pipeline that is loaded plainly must not be of two minds. The vocabulary is also written in
    the two files that old clients read.
    """
    for part in ("unet", "vae"):
        getattr(pipeline, part).half()
    pipeline.save_pretrained(folder, safe_serialization=True)
    for part in ("tokenizer", "tokenizer_2"):
        words.tokenizer(folder / part)
    _forget_origin(folder / "vae" / "config.json")


def _forget_origin(path: Path) -> None:
    """diffusers notes the folder that a part was loaded from: it means nothing to anybody else."""
    config = json.loads(path.read_text())
    config.pop("_name_or_path", None)
    path.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")
