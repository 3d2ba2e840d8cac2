"""Tiny models of other families than SDXL: pipelines of SD 1.5, SD3 and Flux; transformers of the two by themselves."""

import string
from pathlib import Path
from typing import Any

import torch
from diffusers import (
    EulerDiscreteScheduler,
    FlowMatchEulerDiscreteScheduler,
    FluxPipeline,
    FluxTransformer2DModel,
    SD3Transformer2DModel,
    StableDiffusion3Pipeline,
    StableDiffusionPipeline,
    UNet2DConditionModel,
)
from transformers import CLIPTextModel, CLIPTextModelWithProjection, T5Config, T5EncoderModel, T5TokenizerFast

from tests import tiny

TEXT_WIDTH = 24
POOLED = 20
WIDTH = 32
# SD3 puts the words of both CLIP encoders side by side and pads them to the width of T5's.
T5_WIDTH = 2 * tiny.WIDTH


def make_sd15(folder: Path, seed: int = 0) -> Path:
    """Write an SD 1.5 pipeline: one text encoder, attention between convolutions of 1 x 1."""
    torch.manual_seed(seed)
    tokenizer = tiny.make_tokenizer(folder.parent / f"{folder.name}-vocabulary")
    pipeline = StableDiffusionPipeline(
        vae=tiny.make_vae(),
        text_encoder=CLIPTextModel(tiny.text_config(len(tokenizer))),
        tokenizer=tokenizer,
        unet=UNet2DConditionModel(
            sample_size=tiny.SIZE // 2,
            block_out_channels=(32, 64),
            layers_per_block=2,
            down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
            up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
            attention_head_dim=4,
            cross_attention_dim=tiny.WIDTH,
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


def make_flux_pipeline(folder: Path, seed: int = 0, kind: Any = FluxPipeline, **transformer: Any) -> Path:
    """Write a Flux pipeline: latents packed two by two, one CLIP for the whole prompt, T5 for its words.

    Args:
        transformer: what its configuration has otherwise.
    """
    torch.manual_seed(seed)
    tokenizer = tiny.make_tokenizer(folder.parent / f"{folder.name}-vocabulary")
    words = t5_tokenizer()
    pipeline = kind(
        scheduler=FlowMatchEulerDiscreteScheduler(shift=3.0, use_dynamic_shifting=True),
        vae=tiny.make_vae(shift=0.1),
        text_encoder=CLIPTextModel(tiny.text_config(len(tokenizer))),
        tokenizer=tokenizer,
        text_encoder_2=make_t5(len(words)),
        tokenizer_2=words,
        transformer=_flux(**{"channels": 16, "words": T5_WIDTH, "pooled": tiny.WIDTH} | transformer),
    )
    pipeline.save_pretrained(folder, safe_serialization=True)
    return folder


def make_sd3_pipeline(folder: Path, seed: int = 0) -> Path:
    """Write an SD3 pipeline with all three of its text encoders."""
    torch.manual_seed(seed)
    tokenizer = tiny.make_tokenizer(folder.parent / f"{folder.name}-vocabulary")
    words = t5_tokenizer()
    text = tiny.text_config(len(tokenizer))
    pipeline = StableDiffusion3Pipeline(
        scheduler=FlowMatchEulerDiscreteScheduler(shift=3.0),
        vae=tiny.make_vae(shift=0.1, channels=16),
        text_encoder=CLIPTextModelWithProjection(text),
        tokenizer=tokenizer,
        text_encoder_2=CLIPTextModelWithProjection(text),
        tokenizer_2=tokenizer,
        text_encoder_3=make_t5(len(words)),
        tokenizer_3=words,
        transformer=_sd3(words=T5_WIDTH, pooled=2 * tiny.WIDTH, size=tiny.SIZE // 2, channels=16),
    )
    pipeline.save_pretrained(folder, safe_serialization=True)
    return folder


def make_flux() -> Any:
    torch.manual_seed(0)
    return _still(_flux(channels=4, words=TEXT_WIDTH, pooled=POOLED))


def make_sd3() -> Any:
    torch.manual_seed(0)
    return _still(_sd3(words=TEXT_WIDTH, pooled=POOLED, size=8))


def _flux(channels: int, words: int, pooled: int, **others: Any) -> Any:
    return FluxTransformer2DModel(
        in_channels=channels,
        num_layers=2,
        num_single_layers=2,
        attention_head_dim=16,
        num_attention_heads=WIDTH // 16,
        joint_attention_dim=words,
        pooled_projection_dim=pooled,
        **{"guidance_embeds": True, "axes_dims_rope": (4, 4, 8)} | others,
    )


def _sd3(words: int, pooled: int, size: int, channels: int = 4) -> Any:
    return SD3Transformer2DModel(
        sample_size=size,
        in_channels=channels,
        out_channels=channels,
        num_layers=2,
        attention_head_dim=8,
        num_attention_heads=WIDTH // 8,
        joint_attention_dim=words,
        caption_projection_dim=WIDTH,
        pooled_projection_dim=pooled,
        pos_embed_max_size=size,
        dual_attention_layers=(0,),
    )


def make_t5(vocabulary: int) -> Any:
    return T5EncoderModel(T5Config(vocab_size=vocabulary, d_model=T5_WIDTH, d_kv=8, d_ff=96, num_layers=2, num_heads=4))


def t5_tokenizer() -> Any:
    """One token per letter, as that of CLIP here."""
    letters = string.ascii_lowercase + string.digits + string.punctuation
    special = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("\u2581", -2.0)]
    return T5TokenizerFast(vocab=[*special, *((letter, -3.0) for letter in letters)], extra_ids=0)


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
