"""Files for transformers in every layout that people upload, read as diffusers' own loaders read them."""

from pathlib import Path

import pytest
from tests.runtime.formats.layouts.families import (
    AI_TOOLKIT,
    BARE,
    BARE_PEFT,
    COMFY,
    DIFFUSERS,
    KOHYA,
    OF_PEFT,
    ONE_TRAINER,
    WITH_ALPHA,
    Family,
    Shapes,
    Write,
    apart,
    by_diffusers,
    by_lorapool,
    modules_of,
    with_configuration,
)

# Of float32: both scale one factor or the product.
ROUNDING = 1e-5

SMALL = (("guidance_embeds", True), ("num_layers", 2), ("num_single_layers", 2))
FLUX = Family("FluxTransformer2DModel", "FluxPipeline", SMALL)
WHOLE_FLUX = Family("FluxTransformer2DModel", "FluxPipeline")
FLUX2 = Family("Flux2Transformer2DModel", "Flux2Pipeline", (("num_layers", 2), ("num_single_layers", 2)))
SD3 = Family("SD3Transformer2DModel", "StableDiffusion3Pipeline", (("num_layers", 3), ("dual_attention_layers", (0,))))
QWEN = Family("QwenImageTransformer2DModel", "QwenImagePipeline", (("num_layers", 2),))
Z_IMAGE = Family("ZImageTransformer2DModel", "ZImagePipeline", (("n_layers", 2),))
LUMINA2 = Family("Lumina2Transformer2DModel", "Lumina2Pipeline", (("num_layers", 2),))
KREA2 = Family("Krea2Transformer2DModel", "Krea2Pipeline", (("num_layers", 2),))
IDEOGRAM4 = Family("Ideogram4Transformer2DModel", "Ideogram4Pipeline", (("num_layers", 2),))
CHROMA = Family("ChromaTransformer2DModel", "ChromaPipeline", (("num_layers", 2), ("num_single_layers", 2)))
AURA = Family("AuraFlowTransformer2DModel", "AuraFlowPipeline", (("num_mmdit_layers", 2), ("num_single_dit_layers", 2)))
SANA = Family("SanaTransformer2DModel", "SanaPipeline", (("num_layers", 2),))
COGVIEW4 = Family("CogView4Transformer2DModel", "CogView4Pipeline", (("num_layers", 2),))

HIDREAM = Family(
    "HiDreamImageTransformer2DModel",
    "HiDreamImagePipeline",
    (
        ("patch_size", 2),
        ("in_channels", 16),
        ("num_layers", 1),
        ("num_single_layers", 1),
        ("caption_channels", (4096, 4096)),
        ("llama_layers", (0, 1)),
    ),
)
ERNIE = Family("ErnieImageTransformer2DModel", "ErnieImagePipeline", (("num_layers", 2),))


def flux_blocks(width: int, double: range, single: range) -> Shapes:
    """The original code's modules of Flux' blocks, (outputs, inputs)."""
    shapes: dict[str, tuple[int, int]] = {}
    for i in double:
        for stream in ("img", "txt"):
            at = f"double_blocks.{i}.{stream}"
            shapes |= {f"{at}_attn.qkv": (3 * width, width), f"{at}_attn.proj": (width, width)}
            shapes |= {f"{at}_mlp.0": (4 * width, width), f"{at}_mlp.2": (width, 4 * width)}
            shapes[f"{at}_mod.lin"] = (6 * width, width)
    for i in single:
        shapes |= {f"single_blocks.{i}.linear1": (7 * width, width), f"single_blocks.{i}.linear2": (width, 5 * width)}
        shapes[f"single_blocks.{i}.modulation.lin"] = (3 * width, width)
    return shapes


FLUX_BLOCKS = flux_blocks(3072, range(2), range(2))
FLUX_ALL = flux_blocks(3072, range(19), range(38)) | {"final_layer.linear": (64, 3072)}
# Chroma's modulation has no weights of its own.
CHROMA_BLOCKS = {name: shape for name, shape in FLUX_BLOCKS.items() if not name.endswith(".lin")}
FLUX_ATTENTION: Shapes = {
    f"{blocks}.{i}.attn.{name}": (3072, 3072)
    for blocks, names in (
        ("transformer_blocks", ("to_q", "to_v", "add_k_proj", "to_out.0", "to_add_out")),
        ("single_transformer_blocks", ("to_q", "to_k", "to_v")),
    )
    for i in range(2)
    for name in names
} | {"x_embedder": (3072, 64), "norm_out.linear": (6144, 3072)}
W = 6144
FLUX2_BLOCKS: Shapes = {
    "double_blocks.0.img_attn.qkv": (3 * W, W), "double_blocks.0.img_attn.proj": (W, W),
    "double_blocks.1.txt_attn.qkv": (3 * W, W), "double_blocks.1.txt_attn.proj": (W, W),
    "double_blocks.0.img_mlp.0": (6 * W, W), "double_blocks.0.img_mlp.2": (W, 3 * W),
    "double_blocks.1.txt_mlp.0": (6 * W, W), "double_blocks.1.txt_mlp.2": (W, 3 * W),
    "single_blocks.0.linear1": (9 * W, W), "single_blocks.1.linear2": (W, 4 * W),
    "img_in": (W, 128), "txt_in": (W, 15360), "time_in.in_layer": (W, 256), "time_in.out_layer": (W, W),
    "final_layer.linear": (128, W),
}  # fmt: skip
FLUX2_MODULATION: Shapes = {
    "guidance_in.in_layer": (W, 256), "guidance_in.out_layer": (W, W), "single_stream_modulation.lin": (3 * W, W),
    "double_stream_modulation_img.lin": (6 * W, W), "double_stream_modulation_txt.lin": (6 * W, W),
}  # fmt: skip
Z_FUSED: Shapes = {
    "layers.0.attention.qkv": (3 * 3840, 3840), "layers.0.attention.out": (3840, 3840),
    "context_refiner.1.attention.qkv": (3 * 3840, 3840), "layers.1.feed_forward.w1": (10240, 3840),
    "noise_refiner.0.adaLN_modulation.0": (15360, 256),
}  # fmt: skip


def lumina_block(at: str, *, modulated: bool) -> Shapes:
    shapes = {f"{at}.attention.qkv": (2304 + 2 * 768, 2304), f"{at}.attention.out": (2304, 2304)}
    shapes |= {f"{at}.feed_forward.w{i}": (9216, 2304) for i in (1, 3)}
    shapes[f"{at}.feed_forward.w2"] = (2304, 9216)
    return shapes | ({f"{at}.adaLN_modulation.1": (9216, 1024)} if modulated else {})


LUMINA_BLOCKS = (
    {k: s for i in range(2) for k, s in lumina_block(f"layers.{i}", modulated=True).items()}
    | lumina_block("noise_refiner.0", modulated=True)
    | lumina_block("context_refiner.0", modulated=False)
)
KREA_BLOCKS: Shapes = {
    "blocks.0.attn.wq": (6144, 6144), "blocks.0.attn.wk": (1536, 6144), "blocks.0.attn.wv": (1536, 6144),
    "blocks.1.attn.wo": (6144, 6144), "blocks.1.attn.gate": (6144, 6144), "blocks.0.mlp.gate": (16384, 6144),
    "blocks.0.mlp.up": (16384, 6144), "blocks.1.mlp.down": (6144, 16384), "first": (6144, 64),
    "last.linear": (64, 6144), "tmlp.0": (6144, 256), "tmlp.2": (6144, 6144), "tproj.1": (36864, 6144),
    "txtmlp.1": (6144, 2560), "txtmlp.3": (6144, 6144), "txtfusion.projector": (1, 12),
    "txtfusion.layerwise_blocks.0.attn.wq": (2560, 2560), "txtfusion.refiner_blocks.1.mlp.down": (2560, 6912),
}  # fmt: skip
IDEOGRAM_BLOCKS: Shapes = {
    "layers.0.attention.qkv": (3 * 4608, 4608), "layers.0.attention.o": (4608, 4608),
    "layers.1.feed_forward.w1": (12288, 4608), "layers.1.feed_forward.w2": (4608, 12288),
    "layers.1.feed_forward.w3": (12288, 4608), "layers.0.adaln_modulation": (18432, 512),
}  # fmt: skip

# Shapes of None: of all Linears of the base, by diffusers' names.
CASES: dict[str, tuple[Family, Write, Shapes | None]] = {
    "Flux, kohya": (FLUX, KOHYA, FLUX_BLOCKS),
    "Flux, ComfyUI": (FLUX, COMFY, FLUX_BLOCKS),
    "Flux, ai-toolkit": (FLUX, DIFFUSERS, None),
    "Flux, diffusers with its configuration": (FLUX, with_configuration, None),
    "Flux, fal's trainer": (WHOLE_FLUX, BARE_PEFT, FLUX_ALL),
    "Flux, diffusers with alpha": (FLUX, WITH_ALPHA, FLUX_ATTENTION),
    "Flux, OneTrainer": (FLUX, ONE_TRAINER, FLUX_ATTENTION),
    "SD3, diffusers": (SD3, DIFFUSERS, None),
    "SD3, diffusers with its configuration": (SD3, with_configuration, None),
    "Flux.2, kohya": (FLUX2, KOHYA, FLUX2_BLOCKS),
    "Flux.2, ai-toolkit": (FLUX2, AI_TOOLKIT, {**FLUX2_BLOCKS, **FLUX2_MODULATION}),
    "Flux.2, ComfyUI without alpha": (FLUX2, AI_TOOLKIT, FLUX2_BLOCKS),
    "Flux.2, PEFT on the original code": (FLUX2, BARE_PEFT, FLUX2_BLOCKS),
    "Flux.2, diffusers": (FLUX2, DIFFUSERS, None),
    "Qwen-Image, kohya": (QWEN, KOHYA, None),
    "Qwen-Image, ai-toolkit and ComfyUI": (QWEN, AI_TOOLKIT, None),
    "Qwen-Image, ComfyUI with alpha": (QWEN, COMFY, None),
    "Qwen-Image, diffusers": (QWEN, DIFFUSERS, None),
    "HiDream, ai-toolkit and ComfyUI": (HIDREAM, AI_TOOLKIT, None),
    "HiDream, diffusers": (HIDREAM, DIFFUSERS, None),
    "HiDream, diffusers with its configuration": (HIDREAM, with_configuration, None),
    "ERNIE-Image, ai-toolkit": (ERNIE, AI_TOOLKIT, None),
    "ERNIE-Image, diffusers": (ERNIE, DIFFUSERS, None),
    "ERNIE-Image, diffusers with its configuration": (ERNIE, with_configuration, None),
    "Qwen-Image, without a prefix": (QWEN, BARE, None),
    "Qwen-Image, PEFT's default": (QWEN, OF_PEFT, None),
    "Z-Image, kohya": (Z_IMAGE, KOHYA, None),
    "Z-Image, ai-toolkit": (Z_IMAGE, AI_TOOLKIT, None),
    "Z-Image, ComfyUI with alpha": (Z_IMAGE, COMFY, None),
    "Z-Image, diffusers": (Z_IMAGE, DIFFUSERS, None),
    "Lumina 2, ComfyUI": (LUMINA2, AI_TOOLKIT, LUMINA_BLOCKS),
    "Lumina 2, diffusers": (LUMINA2, DIFFUSERS, None),
    "Krea 2, ComfyUI": (KREA2, AI_TOOLKIT, KREA_BLOCKS),
    "Krea 2, ai-toolkit": (KREA2, BARE_PEFT, KREA_BLOCKS),
    "Krea 2, diffusers": (KREA2, DIFFUSERS, None),
    "Ideogram 4, ComfyUI": (IDEOGRAM4, AI_TOOLKIT, IDEOGRAM_BLOCKS),
    "Ideogram 4, ComfyUI with alpha": (IDEOGRAM4, COMFY, IDEOGRAM_BLOCKS),
    "Ideogram 4, diffusers": (IDEOGRAM4, DIFFUSERS, None),
    "Chroma, kohya": (CHROMA, KOHYA, CHROMA_BLOCKS),
    "Chroma, diffusers": (CHROMA, DIFFUSERS, None),
    "AuraFlow, diffusers": (AURA, DIFFUSERS, None),
    "Sana, diffusers": (SANA, DIFFUSERS, None),
    "CogView 4, diffusers": (COGVIEW4, DIFFUSERS, None),
}


# Chroma's own code.
@pytest.mark.filterwarnings("ignore:`FluxPosEmbed` is deprecated:FutureWarning")
@pytest.mark.parametrize("case", CASES)
def test_a_layout_is_read_as_diffusers_reads_it(case: str, tmp_path: Path) -> None:
    family, write, shapes = CASES[case]
    path = write(tmp_path / "a.safetensors", modules_of(family) if shapes is None else shapes)
    assert apart(by_lorapool(family, path), by_diffusers(family, path)) <= ROUNDING
