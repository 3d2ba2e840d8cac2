"""Families that are smaller than Flux, or less used."""

from pathlib import Path
from typing import Any

import torch
from diffusers import (
    AuraFlowPipeline,
    AuraFlowTransformer2DModel,
    AutoencoderDC,
    AutoencoderKL,
    CogView4Pipeline,
    CogView4Transformer2DModel,
    DPMSolverMultistepScheduler,
    FlowMatchEulerDiscreteScheduler,
    Lumina2Pipeline,
    Lumina2Transformer2DModel,
    PixArtSigmaPipeline,
    PixArtTransformer2DModel,
    SanaPipeline,
    SanaTransformer2DModel,
)
from transformers import GlmConfig, GlmModel, UMT5Config, UMT5EncoderModel

from tests import tiny, tiny_families
from tests.families import text


def make_pixart(folder: Path) -> Path:
    """Write a PixArt: T5 alone, and a transformer that says variances too."""
    torch.manual_seed(0)
    words = tiny_families.t5_tokenizer()
    pipeline = PixArtSigmaPipeline(
        scheduler=DPMSolverMultistepScheduler(),
        vae=tiny.make_vae(),
        text_encoder=tiny_families.make_t5(len(words)),
        tokenizer=words,
        transformer=make_pixart_transformer(),
    )
    return _written(pipeline, folder)


def make_sana(folder: Path) -> Path:
    """Write a Sana: linear attention, and a VAE that leaves few positions."""
    torch.manual_seed(0)
    tokenizer = text.make_tokenizer()
    pipeline = SanaPipeline(
        scheduler=FlowMatchEulerDiscreteScheduler(shift=3.0),
        vae=make_deep_vae(),
        text_encoder=text.make_gemma2(len(tokenizer)),
        tokenizer=tokenizer,
        transformer=make_sana_transformer(),
    )
    return _written(pipeline, folder)


def make_lumina2(folder: Path) -> Path:
    """Write a Lumina 2. Its VAE has the usual eight pixels to a latent: the pipeline takes that for granted."""
    torch.manual_seed(0)
    tokenizer = text.make_tokenizer()
    pipeline = Lumina2Pipeline(
        scheduler=FlowMatchEulerDiscreteScheduler(shift=6.0),
        vae=make_eightfold_vae(),
        text_encoder=text.make_gemma2(len(tokenizer)),
        tokenizer=tokenizer,
        transformer=Lumina2Transformer2DModel(
            sample_size=8,
            in_channels=4,
            hidden_size=48,
            num_layers=2,
            num_refiner_layers=1,
            num_attention_heads=3,
            num_kv_heads=1,
            multiple_of=16,
            axes_dim_rope=(4, 4, 8),
            axes_lens=(512, 64, 64),
            cap_feat_dim=text.WIDTH,
        ),
    )
    return _written(pipeline, folder)


def make_auraflow(folder: Path) -> Path:
    """Write an AuraFlow."""
    torch.manual_seed(0)
    words = tiny_families.t5_tokenizer()
    config = UMT5Config(vocab_size=len(words), d_model=16, d_kv=8, d_ff=24, num_layers=2, num_heads=2)
    pipeline = AuraFlowPipeline(
        scheduler=FlowMatchEulerDiscreteScheduler(shift=1.73),
        vae=tiny.make_vae(),
        text_encoder=UMT5EncoderModel(config),
        tokenizer=words,
        transformer=AuraFlowTransformer2DModel(
            sample_size=tiny.SIZE // 2,
            num_mmdit_layers=1,
            num_single_dit_layers=2,
            attention_head_dim=16,
            num_attention_heads=2,
            joint_attention_dim=16,
            caption_projection_dim=32,
            pos_embed_max_size=256,
        ),
    )
    return _written(pipeline, folder)


def make_cogview4(folder: Path) -> Path:
    """Write a CogView4."""
    torch.manual_seed(0)
    tokenizer = text.make_tokenizer(side="left", begins=True)
    config = GlmConfig(**text.decoder_options(len(tokenizer), layers=2), attention_bias=True)
    pipeline = CogView4Pipeline(
        scheduler=FlowMatchEulerDiscreteScheduler(shift=1.0, use_dynamic_shifting=True),
        vae=tiny.make_vae(),
        text_encoder=GlmModel(config),
        tokenizer=tokenizer,
        transformer=CogView4Transformer2DModel(
            in_channels=4,
            out_channels=4,
            num_layers=2,
            attention_head_dim=16,
            num_attention_heads=2,
            text_embed_dim=text.WIDTH,
            time_embed_dim=16,
            condition_dim=8,
            sample_size=tiny.SIZE // 2,
            rope_axes_dim=(16, 16),
        ),
    )
    return _written(pipeline, folder)


def make_pixart_transformer() -> Any:
    return PixArtTransformer2DModel(
        num_attention_heads=2,
        attention_head_dim=16,
        num_layers=2,
        cross_attention_dim=32,
        sample_size=tiny.SIZE // 2,
        caption_channels=tiny_families.T5_WIDTH,
        use_additional_conditions=False,
    )


def make_deep_vae() -> Any:
    """A VAE that leaves few positions."""
    return AutoencoderDC(
        latent_channels=4,
        attention_head_dim=2,
        encoder_block_types=("ResBlock", "EfficientViTBlock"),
        decoder_block_types=("ResBlock", "EfficientViTBlock"),
        encoder_block_out_channels=(8, 8),
        decoder_block_out_channels=(8, 8),
        encoder_layers_per_block=(1, 1),
        decoder_layers_per_block=(1, 1),
        encoder_qkv_multiscales=((), (5,)),
        decoder_qkv_multiscales=((), (5,)),
        downsample_block_type="conv",
        upsample_block_type="interpolate",
    )


def make_sana_transformer(**options: Any) -> Any:
    return SanaTransformer2DModel(
        in_channels=4,
        out_channels=4,
        num_layers=2,
        num_attention_heads=2,
        attention_head_dim=16,
        num_cross_attention_heads=2,
        cross_attention_head_dim=16,
        cross_attention_dim=32,
        caption_channels=text.WIDTH,
        sample_size=tiny.SIZE // 2,
        **options,
    )


def make_eightfold_vae() -> Any:
    blocks = 4
    return AutoencoderKL(
        block_out_channels=(32,) * blocks,
        down_block_types=("DownEncoderBlock2D",) * blocks,
        up_block_types=("UpDecoderBlock2D",) * blocks,
        layers_per_block=1,
        latent_channels=4,
        shift_factor=0.1,
    )


def _written(pipeline: Any, folder: Path) -> Path:
    pipeline.save_pretrained(folder, safe_serialization=True)
    return folder
