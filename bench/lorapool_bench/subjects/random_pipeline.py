"""An SDXL pipeline with random weights, in a folder, as `save_pretrained` lays it out."""

import gc
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, EulerDiscreteScheduler, StableDiffusionXLPipeline
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

from lorapool_bench.subjects.unet import UNetShape, make_unet
from lorapool_models.base import words

_TEXT_LAYERS = (12, 12)


def save_pipeline(
    folder: Path,
    shape: UNetShape,
    dtype: torch.dtype,
    seed: int = 0,
    *,
    vae_channels: tuple[int, ...] | None = None,
    text_layers: tuple[int, int] = _TEXT_LAYERS,
) -> None:
    """Write it.

    Args:
        vae_channels: of each level of the VAE, which halves a side between two, and works in half precision; None:
            those of the UNet.
        text_layers: of both text encoders.
    """
    torch.manual_seed(seed)
    channels = shape.channels if vae_channels is None else vae_channels
    tokenizer = words.tokenizer(folder / "tokenizer")
    first, second = shape.context - shape.pooled, shape.pooled
    pipeline = StableDiffusionXLPipeline(
        vae=AutoencoderKL(
            block_out_channels=channels,
            down_block_types=("DownEncoderBlock2D",) * len(channels),
            up_block_types=("UpDecoderBlock2D",) * len(channels),
            latent_channels=4,
            **(
                {}
                if vae_channels is None
                else {"layers_per_block": 2, "scaling_factor": 0.13025, "force_upcast": False}
            ),
        ),
        text_encoder=CLIPTextModel(_text(first, text_layers[0], shape, tokenizer)),
        text_encoder_2=CLIPTextModelWithProjection(_text(second, text_layers[1], shape, tokenizer)),
        tokenizer=tokenizer,
        tokenizer_2=tokenizer,
        unet=make_unet(shape, dtype, seed=seed),
        scheduler=EulerDiscreteScheduler(),
        add_watermarker=False,
    )
    pipeline.to(dtype=dtype)
    pipeline.save_pretrained(folder, safe_serialization=True, max_shard_size="100GB")
    del pipeline
    gc.collect()  # its modules hold each other, and the memory is wanted for what comes


def _text(width: int, layers: int, shape: UNetShape, tokenizer: Any) -> CLIPTextConfig:
    return CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=width,
        projection_dim=shape.pooled,
        intermediate_size=4 * width,
        num_hidden_layers=layers,
        num_attention_heads=width // shape.head_width,
        max_position_embeddings=words.MAX_TOKENS,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
