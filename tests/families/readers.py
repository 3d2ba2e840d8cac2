"""Families whose prompts are read by language models, beside those of `transformers`."""

from pathlib import Path
from typing import Any

import torch
from diffusers import (
    AutoencoderKLFlux2,
    AutoencoderKLQwenImage,
    ErnieImagePipeline,
    ErnieImageTransformer2DModel,
    FlowMatchEulerDiscreteScheduler,
    HiDreamImagePipeline,
    HiDreamImageTransformer2DModel,
    Krea2Pipeline,
    Krea2Transformer2DModel,
    OvisImagePipeline,
    OvisImageTransformer2DModel,
)
from transformers import CLIPTextModelWithProjection, LlamaConfig, LlamaForCausalLM

from tests import tiny, tiny_families
from tests.families import text

# HiDream's CLIP encoders read more than the usual 77 tokens.
_LONG = 248


def make_krea2(folder: Path, *, is_distilled: bool = False) -> Path:
    """Write a Krea 2: the prompt in several layers of its text encoder, which the transformer weighs itself."""
    torch.manual_seed(0)
    tokenizer = text.make_tokenizer()
    layers = (0, 1, 2)
    pipeline = Krea2Pipeline(
        scheduler=_flow(use_dynamic_shifting=True),
        vae=make_video_vae(),
        text_encoder=text.make_qwen3_vl(len(tokenizer)).model,
        tokenizer=tokenizer,
        transformer=Krea2Transformer2DModel(
            in_channels=16,
            num_layers=2,
            attention_head_dim=16,
            num_attention_heads=2,
            num_key_value_heads=1,
            intermediate_size=48,
            timestep_embed_dim=16,
            text_hidden_dim=text.WIDTH,
            num_text_layers=len(layers),
            text_num_attention_heads=2,
            text_num_key_value_heads=2,
            text_intermediate_size=24,
            num_layerwise_text_blocks=1,
            num_refiner_text_blocks=1,
            axes_dims_rope=(4, 4, 8),
        ),
        text_encoder_select_layers=layers,
        is_distilled=is_distilled,
    )
    return _written(pipeline, folder)


def make_ovis(folder: Path) -> Path:
    """Write an Ovis-Image: much of Flux.1, with a language model for prompts."""
    torch.manual_seed(0)
    tokenizer = text.make_tokenizer()
    pipeline = OvisImagePipeline(
        scheduler=_flow(use_dynamic_shifting=True),
        vae=tiny.make_vae(shift=0.1),
        text_encoder=text.make_qwen3_model(len(tokenizer)),
        tokenizer=tokenizer,
        transformer=OvisImageTransformer2DModel(
            in_channels=16,
            out_channels=16,
            num_layers=2,
            num_single_layers=2,
            attention_head_dim=16,
            num_attention_heads=2,
            joint_attention_dim=text.WIDTH,
            axes_dims_rope=(4, 4, 8),
        ),
    )
    return _written(pipeline, folder)


def make_ernie(folder: Path) -> Path:
    """Write an ERNIE-Image, without the model that writes prompts anew."""
    torch.manual_seed(0)
    tokenizer = text.make_tokenizer()
    transformer = ErnieImageTransformer2DModel(
        hidden_size=32,
        num_attention_heads=2,
        num_layers=2,
        ffn_hidden_size=48,
        in_channels=16,
        out_channels=16,
        text_in_dim=text.WIDTH,
        rope_axes_dim=(4, 4, 8),
    )
    # Of zeros, before training: it would say nothing.
    for part in (transformer.adaLN_modulation[-1], transformer.final_linear):
        torch.nn.init.normal_(part.weight, std=0.2)
    pipeline = ErnieImagePipeline(
        scheduler=_flow(),
        vae=AutoencoderKLFlux2(
            block_out_channels=(32, 64),
            down_block_types=("DownEncoderBlock2D",) * 2,
            up_block_types=("UpDecoderBlock2D",) * 2,
            latent_channels=4,
            layers_per_block=1,
            sample_size=tiny.SIZE,
        ),
        text_encoder=text.make_mistral3(len(tokenizer), layers=2).model,
        tokenizer=tokenizer,
        transformer=transformer,
    )
    return _written(pipeline, folder)


def make_hidream(folder: Path) -> Path:
    """Write a HiDream: four text encoders, and experts in its transformer."""
    torch.manual_seed(0)
    tokenizer = tiny.make_tokenizer(folder.parent / f"{folder.name}-vocabulary")
    words, chat = tiny_families.t5_tokenizer(), text.make_tokenizer()
    clip = tiny.text_config(len(tokenizer))
    clip.max_position_embeddings = _LONG
    llama = LlamaConfig(**text.decoder_options(len(chat), layers=2), attn_implementation="eager")
    pipeline = HiDreamImagePipeline(
        scheduler=_flow(),
        vae=tiny.make_vae(shift=0.1),
        text_encoder=CLIPTextModelWithProjection(clip),
        tokenizer=tokenizer,
        text_encoder_2=CLIPTextModelWithProjection(clip),
        tokenizer_2=tokenizer,
        text_encoder_3=tiny_families.make_t5(len(words)),
        tokenizer_3=words,
        text_encoder_4=LlamaForCausalLM(llama),
        tokenizer_4=chat,
        transformer=HiDreamImageTransformer2DModel(
            patch_size=2,
            in_channels=4,
            out_channels=4,
            num_layers=1,
            num_single_layers=1,
            attention_head_dim=16,
            num_attention_heads=2,
            caption_channels=[tiny_families.T5_WIDTH, text.WIDTH],
            text_emb_dim=2 * tiny.WIDTH,
            num_routed_experts=2,
            num_activated_experts=1,
            axes_dims_rope=(8, 4, 4),
            max_resolution=(16, 16),
            llama_layers=[0, 1],
        ),
    )
    return _written(pipeline, folder)


def make_video_vae() -> Any:
    """A VAE for video, of which a picture is one frame."""
    return AutoencoderKLQwenImage(
        base_dim=8,
        z_dim=4,
        dim_mult=[1, 2],
        num_res_blocks=1,
        temperal_downsample=[False],
        latents_mean=[0.0] * 4,
        latents_std=[1.0] * 4,
    )


def _flow(**options: Any) -> Any:
    return FlowMatchEulerDiscreteScheduler(**{"shift": 3.0} | options)


def _written(pipeline: Any, folder: Path) -> Path:
    pipeline.save_pretrained(folder, safe_serialization=True)
    return folder
