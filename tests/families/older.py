"""Families that came before Flux.1, most of them with T5 alone."""

from pathlib import Path
from typing import Any

import torch
from diffusers import (
    BriaPipeline,
    BriaTransformer2DModel,
    CogVideoXDDIMScheduler,
    CogView3PlusPipeline,
    CogView3PlusTransformer2DModel,
    DDPMScheduler,
    DPMSolverMultistepScheduler,
    FlowMatchEulerDiscreteScheduler,
    HunyuanDiT2DModel,
    HunyuanDiTPipeline,
    LatentConsistencyModelPipeline,
    LCMScheduler,
    LuminaNextDiT2DModel,
    LuminaPipeline,
    PixArtAlphaPipeline,
    SanaSprintPipeline,
    SCMScheduler,
)
from transformers import BertConfig, BertModel, CLIPTextModel, GemmaConfig, GemmaModel

from tests import tiny, tiny_families
from tests.families import smaller, text, unets


def make_lcm(folder: Path) -> Path:
    """Write an LCM: an SD 1.x that was distilled, with its guidance as an input."""
    torch.manual_seed(0)
    tokenizer = tiny.make_tokenizer(folder.parent / f"{folder.name}-vocabulary")
    pipeline = LatentConsistencyModelPipeline(
        scheduler=LCMScheduler(),
        vae=tiny.make_vae(),
        text_encoder=CLIPTextModel(tiny.text_config(len(tokenizer))),
        tokenizer=tokenizer,
        unet=unets.make_unet(time_cond_proj_dim=16),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    return _written(pipeline, folder)


def make_pixart_alpha(folder: Path) -> Path:
    """Write a PixArt-Alpha: the transformer of PixArt-Sigma, and fewer tokens."""
    torch.manual_seed(0)
    words = tiny_families.t5_tokenizer()
    pipeline = PixArtAlphaPipeline(
        scheduler=DPMSolverMultistepScheduler(),
        vae=tiny.make_vae(),
        text_encoder=tiny_families.make_t5(len(words)),
        tokenizer=words,
        transformer=smaller.make_pixart_transformer(),
    )
    return _written(pipeline, folder)


def make_sana_sprint(folder: Path) -> Path:
    """Write a Sana Sprint: distilled, with its guidance as an input."""
    torch.manual_seed(0)
    tokenizer = text.make_tokenizer()
    pipeline = SanaSprintPipeline(
        scheduler=SCMScheduler(),
        vae=smaller.make_deep_vae(),
        text_encoder=text.make_gemma2(len(tokenizer)),
        tokenizer=tokenizer,
        transformer=smaller.make_sana_transformer(guidance_embeds=True, qk_norm="rms_norm_across_heads"),
    )
    return _written(pipeline, folder)


def make_lumina(folder: Path) -> Path:
    """Write a Lumina-Next. Its pipeline takes eight pixels to a latent for granted, as HunyuanDiT's does."""
    torch.manual_seed(0)
    tokenizer = text.make_tokenizer(begins=True)
    pipeline = LuminaPipeline(
        scheduler=_flow(),
        vae=smaller.make_eightfold_vae(),
        text_encoder=GemmaModel(GemmaConfig(**text.decoder_options(len(tokenizer), layers=2))),
        tokenizer=tokenizer,
        transformer=LuminaNextDiT2DModel(
            sample_size=8,
            hidden_size=32,
            num_layers=2,
            num_attention_heads=2,
            num_kv_heads=1,
            multiple_of=16,
            cross_attention_dim=text.WIDTH,
        ),
    )
    return _written(pipeline, folder)


def make_cogview3(folder: Path) -> Path:
    """Write a CogView3 Plus."""
    torch.manual_seed(0)
    words = tiny_families.t5_tokenizer()
    pipeline = CogView3PlusPipeline(
        scheduler=CogVideoXDDIMScheduler(),
        vae=tiny.make_vae(),
        text_encoder=tiny_families.make_t5(len(words)),
        tokenizer=words,
        transformer=CogView3PlusTransformer2DModel(
            in_channels=4,
            out_channels=4,
            num_layers=2,
            attention_head_dim=16,
            num_attention_heads=2,
            text_embed_dim=tiny_families.T5_WIDTH,
            time_embed_dim=16,
            condition_dim=8,
            pos_embed_max_size=16,
            sample_size=tiny.SIZE // 2,
        ),
    )
    return _written(pipeline, folder)


def make_hunyuan_dit(folder: Path) -> Path:
    """Write a HunyuanDiT: BERT and T5, both read."""
    torch.manual_seed(0)
    tokenizer = tiny.make_tokenizer(folder.parent / f"{folder.name}-vocabulary")
    words = tiny_families.t5_tokenizer()
    bert = BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=text.WIDTH,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=24,
        max_position_embeddings=77,
    )
    pipeline = HunyuanDiTPipeline(
        scheduler=DDPMScheduler(),
        vae=smaller.make_eightfold_vae(),
        text_encoder=BertModel(bert),
        tokenizer=tokenizer,
        text_encoder_2=tiny_families.make_t5(len(words)),
        tokenizer_2=words,
        transformer=HunyuanDiT2DModel(
            sample_size=8,
            num_layers=2,
            patch_size=2,
            attention_head_dim=16,
            num_attention_heads=2,
            in_channels=4,
            hidden_size=32,
            cross_attention_dim=text.WIDTH,
            cross_attention_dim_t5=tiny_families.T5_WIDTH,
            pooled_projection_dim=8,
        ),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    return _written(pipeline, folder)


def make_bria(folder: Path) -> Path:
    """Write a Bria 3: much of Flux.1, with T5 alone."""
    torch.manual_seed(0)
    words = tiny_families.t5_tokenizer()
    pipeline = BriaPipeline(
        scheduler=_flow(),
        vae=tiny.make_vae(shift=0.1),
        text_encoder=tiny_families.make_t5(len(words)),
        tokenizer=words,
        transformer=BriaTransformer2DModel(
            in_channels=16,
            num_layers=2,
            num_single_layers=2,
            attention_head_dim=16,
            num_attention_heads=2,
            joint_attention_dim=tiny_families.T5_WIDTH,
            axes_dims_rope=[4, 4, 8],
        ),
    )
    return _written(pipeline, folder)


def _flow(**options: Any) -> Any:
    return FlowMatchEulerDiscreteScheduler(**{"shift": 3.0} | options)


def _written(pipeline: Any, folder: Path) -> Path:
    pipeline.save_pretrained(folder, safe_serialization=True)
    return folder
