"""Tiny models of other families than SDXL: an SD 1.5 pipeline, and the transformers of Flux and SD3 by themselves."""

from pathlib import Path
from typing import Any

import torch
from diffusers import (
    EulerDiscreteScheduler,
    FluxTransformer2DModel,
    SD3Transformer2DModel,
    StableDiffusionPipeline,
    UNet2DConditionModel,
)
from transformers import CLIPTextModel

from tests import tiny

TEXT_WIDTH = 24
POOLED = 20
WIDTH = 32


def make_sd15(folder: Path, seed: int = 0) -> Path:
    """Write an SD 1.5 pipeline: one text encoder, attention between convolutions of 1 x 1."""
    torch.manual_seed(seed)
    tokenizer = tiny._tokenizer(folder.parent / f"{folder.name}-vocabulary")
    pipeline = StableDiffusionPipeline(
        vae=tiny._vae(),
        text_encoder=CLIPTextModel(tiny._text_config(len(tokenizer))),
        tokenizer=tokenizer,
        unet=UNet2DConditionModel(
            sample_size=tiny.SIZE // 2,
            block_out_channels=(32, 64),
            layers_per_block=2,
            down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
            up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
            attention_head_dim=4,
            cross_attention_dim=tiny._WIDTH,
        ),
        scheduler=EulerDiscreteScheduler(
            beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", steps_offset=1
        ),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipeline.save_pretrained(folder, safe_serialization=True)
    return folder


def make_flux() -> Any:
    torch.manual_seed(0)
    return _still(
        FluxTransformer2DModel(
            in_channels=4,
            num_layers=2,
            num_single_layers=2,
            attention_head_dim=16,
            num_attention_heads=WIDTH // 16,
            joint_attention_dim=TEXT_WIDTH,
            pooled_projection_dim=POOLED,
            guidance_embeds=True,
            axes_dims_rope=(4, 4, 8),
        )
    )


def make_sd3() -> Any:
    torch.manual_seed(0)
    return _still(
        SD3Transformer2DModel(
            sample_size=8,
            in_channels=4,
            out_channels=4,
            num_layers=2,
            attention_head_dim=8,
            num_attention_heads=WIDTH // 8,
            joint_attention_dim=TEXT_WIDTH,
            caption_projection_dim=WIDTH,
            pooled_projection_dim=POOLED,
            pos_embed_max_size=8,
            dual_attention_layers=(0,),
        )
    )


def _still(model: Any) -> Any:
    return model.eval().requires_grad_(False)


@torch.no_grad()
def flux_answer(model: Any) -> torch.Tensor:
    """What the transformer says of fixed noise and words."""
    dice = torch.Generator().manual_seed(3)
    places = torch.tensor([[0, y, x] for y in range(4) for x in range(4)], dtype=torch.float32)
    answer: torch.Tensor = model(
        hidden_states=torch.randn(1, 16, 4, generator=dice),
        encoder_hidden_states=torch.randn(1, 7, TEXT_WIDTH, generator=dice),
        pooled_projections=torch.randn(1, POOLED, generator=dice),
        timestep=torch.tensor([0.7]),
        img_ids=places,
        txt_ids=torch.zeros(7, 3),
        guidance=torch.tensor([3.0]),
    ).sample
    return answer


@torch.no_grad()
def sd3_answer(model: Any) -> torch.Tensor:
    dice = torch.Generator().manual_seed(3)
    answer: torch.Tensor = model(
        hidden_states=torch.randn(1, 4, 8, 8, generator=dice),
        encoder_hidden_states=torch.randn(1, 7, TEXT_WIDTH, generator=dice),
        pooled_projections=torch.randn(1, POOLED, generator=dice),
        timestep=torch.tensor([700]),
    ).sample
    return answer
