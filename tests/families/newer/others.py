"""Families with parts of their own: a text encoder or a guider that no other has."""

from pathlib import Path
from typing import Any

import torch
from diffusers import (
    AdaptiveProjectedMixGuidance,
    AutoencoderKLHunyuanImage,
    AutoencoderKLWan,
    BriaFiboPipeline,
    BriaFiboTransformer2DModel,
    EulerDiscreteScheduler,
    FlowMatchEulerDiscreteScheduler,
    HunyuanImagePipeline,
    HunyuanImageTransformer2DModel,
    LongCatImagePipeline,
    LongCatImageTransformer2DModel,
    UNet2DConditionModel,
    ZImageOmniPipeline,
    ZImageTransformer2DModel,
)
from transformers import (
    ByT5Tokenizer,
    Siglip2VisionConfig,
    Siglip2VisionModel,
    SmolLM3Config,
    SmolLM3ForCausalLM,
    T5Config,
    T5EncoderModel,
)
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil
from transformers.models.siglip2.image_processing_pil_siglip2 import Siglip2ImageProcessorPil

from lorapool_runtime.engine.diffusers.families.processor import PicturesProcessor
from tests import tiny
from tests.families import text

# Of an empty text, in the vocabulary that Fibo's pipeline takes for granted.
_BEGIN = 128000


def make_kolors(folder: Path) -> Path:
    """Write a Kolors: SDXL's UNet, with a language model for prompts."""
    from diffusers import KolorsPipeline
    from diffusers.pipelines.kolors.text_encoder import ChatGLMConfig, ChatGLMModel

    torch.manual_seed(0)
    tokenizer = _chat_tokenizer(folder.parent / f"{folder.name}-vocabulary")
    config = ChatGLMConfig(
        num_layers=2,
        padded_vocab_size=len(tokenizer),
        hidden_size=16,
        ffn_hidden_size=24,
        kv_channels=8,
        num_attention_heads=2,
        original_rope=True,
        add_qkv_bias=True,
        multi_query_attention=True,
        multi_query_group_num=1,
    )
    encoder = ChatGLMModel(config)
    for parameter in encoder.parameters():  # they are whatever the memory held
        torch.nn.init.normal_(parameter, std=0.3) if parameter.dim() > 1 else torch.nn.init.ones_(parameter)
    pipeline = KolorsPipeline(
        vae=tiny.make_vae(),
        text_encoder=encoder,
        tokenizer=tokenizer,
        unet=UNet2DConditionModel(
            sample_size=tiny.SIZE // 2,
            block_out_channels=(32, 64),
            layers_per_block=2,
            down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
            up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
            attention_head_dim=(2, 4),
            use_linear_projection=True,
            addition_embed_type="text_time",
            addition_time_embed_dim=8,
            projection_class_embeddings_input_dim=8 * 6 + 16,
            cross_attention_dim=tiny.WIDTH,
            encoder_hid_dim=16,
            encoder_hid_dim_type="text_proj",
        ),
        scheduler=EulerDiscreteScheduler(
            beta_start=0.00085, beta_end=0.014, beta_schedule="scaled_linear", num_train_timesteps=1100
        ),
        force_zeros_for_empty_prompt=False,
    )
    return _written(pipeline, folder)


def make_hunyuan_image(folder: Path, *, is_distilled: bool = False) -> Path:
    """Write a HunyuanImage 2.1: its guidance is a component."""
    torch.manual_seed(0)
    tokenizer = text.make_tokenizer()
    letters = ByT5Tokenizer()
    pipeline = HunyuanImagePipeline(
        scheduler=_flow(),
        vae=AutoencoderKLHunyuanImage(
            in_channels=3,
            out_channels=3,
            latent_channels=4,
            block_out_channels=(32, 32),
            layers_per_block=1,
            spatial_compression_ratio=2,
            sample_size=tiny.SIZE,
            scaling_factor=0.75,
        ),
        text_encoder=text.make_qwen25_vl(len(tokenizer)),
        tokenizer=tokenizer,
        text_encoder_2=T5EncoderModel(
            T5Config(vocab_size=len(letters), d_model=24, d_kv=8, d_ff=32, num_layers=2, num_heads=2)
        ),
        tokenizer_2=letters,
        transformer=HunyuanImageTransformer2DModel(
            in_channels=4,
            out_channels=4,
            num_attention_heads=2,
            attention_head_dim=16,
            num_layers=1,
            num_single_layers=1,
            num_refiner_layers=1,
            text_embed_dim=text.WIDTH,
            text_embed_2_dim=24,
            rope_axes_dim=(8, 8),
            guidance_embeds=is_distilled,
            use_meanflow=is_distilled,
        ),
        guider=None if is_distilled else guider(9.0),
        ocr_guider=None if is_distilled else guider(9.0),
    )
    return _written(pipeline, folder)


def guider(scale: float) -> Any:
    return AdaptiveProjectedMixGuidance(guidance_scale=scale, adaptive_projected_guidance_start_step=1)


def make_longcat(folder: Path) -> Path:
    """Write a LongCat-Image: much of Flux.1, and a processor for a model that writes prompts anew."""
    torch.manual_seed(0)
    tokenizer = text.make_tokenizer()
    pipeline = LongCatImagePipeline(
        scheduler=_flow(use_dynamic_shifting=True),
        vae=tiny.make_vae(shift=0.1, channels=16),
        text_encoder=text.make_qwen25_vl(len(tokenizer)),
        tokenizer=tokenizer,
        text_processor=PicturesProcessor(Qwen2VLImageProcessorPil(), tokenizer),
        transformer=LongCatImageTransformer2DModel(
            in_channels=64,
            num_layers=1,
            num_single_layers=2,
            attention_head_dim=16,
            num_attention_heads=2,
            joint_attention_dim=text.WIDTH,
            pooled_projection_dim=text.WIDTH,
            axes_dims_rope=[4, 4, 8],
        ),
    )
    return text.as_repositories_name_it(_written(pipeline, folder), text_processor="Qwen2_5_VLProcessor")


def make_fibo(folder: Path) -> Path:
    """Write a Fibo: each block of its transformer reads another layer of the language model."""
    torch.manual_seed(0)
    tokenizer = text.make_tokenizer()
    config = SmolLM3Config(**text.decoder_options(_BEGIN + 1, layers=3))
    pipeline = BriaFiboPipeline(
        scheduler=_flow(use_dynamic_shifting=True),
        vae=AutoencoderKLWan(
            base_dim=8,
            z_dim=4,
            dim_mult=[1, 1, 1, 1, 1],
            num_res_blocks=1,
            temperal_downsample=[False] * 4,
            latents_mean=[0.0] * 4,
            latents_std=[1.0] * 4,
        ),
        text_encoder=SmolLM3ForCausalLM(config),
        tokenizer=tokenizer,
        transformer=BriaFiboTransformer2DModel(
            in_channels=4,
            num_layers=1,
            num_single_layers=1,
            attention_head_dim=16,
            num_attention_heads=2,
            joint_attention_dim=2 * text.WIDTH,
            text_encoder_dim=text.WIDTH,
            axes_dims_rope=[4, 4, 8],
        ),
    )
    return _written(pipeline, folder)


def make_z_image_omni(folder: Path) -> Path:
    """Write a Z-Image Omni: it may look at pictures."""
    torch.manual_seed(0)
    tokenizer = text.make_tokenizer()
    pipeline = ZImageOmniPipeline(
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
            siglip_feat_dim=16,
            axes_dims=[4, 4, 8],
            axes_lens=[1024, 64, 64],
        ),
        siglip=Siglip2VisionModel(
            Siglip2VisionConfig(
                hidden_size=16,
                intermediate_size=24,
                num_hidden_layers=1,
                num_attention_heads=2,
                patch_size=4,
                num_patches=64,
            )
        ),
        siglip_processor=Siglip2ImageProcessorPil(patch_size=4),
    )
    return _written(pipeline, folder)


def _chat_tokenizer(folder: Path) -> Any:
    """One token per letter, by sentencepiece."""
    import sentencepiece
    from diffusers.pipelines.kolors.tokenizer import ChatGLMTokenizer

    folder.mkdir(parents=True)
    letters = "abcdefghijklmnopqrstuvwxyz0123456789"
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter([" ".join(letters), letters] * 10),
        model_prefix=str(folder / "tokenizer"),
        vocab_size=len(letters) + 5,
        model_type="char",
        minloglevel=2,
    )
    return ChatGLMTokenizer(str(folder / "tokenizer.model"))


def _flow(**options: Any) -> Any:
    return FlowMatchEulerDiscreteScheduler(**{"shift": 3.0} | options)


def _written(pipeline: Any, folder: Path) -> Path:
    pipeline.save_pretrained(folder, safe_serialization=True)
    return folder
