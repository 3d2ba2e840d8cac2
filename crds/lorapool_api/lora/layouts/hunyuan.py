"""Modules of the original layouts of HunyuanImage 2.1 and Qwen-Image 2.1 in terms of diffusers' modules.

Blocks are those of Flux (`mmdit`) but for some names; ComfyUI calls these as Flux does, too. The correspondences are
those of diffusers' conversions of the base models (`scripts/convert_hunyuan_image_to_diffusers.py` of its repository,
`diffusers.loaders.single_file_utils`).
"""

import re
from typing import Final

from lorapool_api.lora.layouts.mmdit import Cut, Fused

_PROJECTIONS: Final = {"q": "attn_to_q", "k": "attn_to_k", "v": "attn_to_v"}
_BLOCKS: Final = {
    "double_blocks": (
        "transformer_blocks",
        {
            **{f"img_attn_{p}": name for p, name in _PROJECTIONS.items()},
            **{f"txt_attn_{p}": f"attn_add_{p}_proj" for p in _PROJECTIONS},
            "img_mlp_fc1": "ff_net_0_proj",
            "img_mlp_fc2": "ff_net_2",
            "txt_mlp_fc1": "ff_context_net_0_proj",
            "txt_mlp_fc2": "ff_context_net_2",
            "img_mod_linear": "norm1_linear",
            "txt_mod_linear": "norm1_context_linear",
        },
    ),
    "single_blocks": (
        "single_transformer_blocks",
        {
            **{f"linear1_{p}": name for p, name in _PROJECTIONS.items()},
            "linear1_mlp": "proj_mlp",
            "linear2_fc": "proj_out",
            "modulation_linear": "norm_linear",
        },
    ),
}
_REFINER: Final = {
    "self_attn_qkv": Fused(tuple(_PROJECTIONS.values()), Cut.EVEN),
    "self_attn_proj": Fused(("attn_to_out_0",)),
    **dict.fromkeys(("mlp_fc1", "mlp_0"), Fused(("ff_net_0_proj",))),
    **dict.fromkeys(("mlp_fc2", "mlp_2"), Fused(("ff_net_2",))),
    "adaLN_modulation_1": Fused(("norm_out_linear",)),
}
# Two layers each, by the names of the original code and by those of ComfyUI.
_EMBEDDERS: Final = {
    "txt_in_t_embedder": "context_embedder_time_text_embed_timestep_embedder",
    "txt_in_c_embedder": "context_embedder_time_text_embed_text_embedder",
    "time_in": "time_guidance_embed_timestep_embedder",
    "time_r_in": "time_guidance_embed_timestep_embedder_r",
    "guidance_in": "time_guidance_embed_guidance_embedder",
}
_LAYERS: Final = (("mlp_0", "linear_1", "in_layer"), ("mlp_2", "linear_2", "out_layer"))
_OUTSIDE: Final = {
    f"{embedder}_{name}": f"{module}_linear_{i}"
    for embedder, module in _EMBEDDERS.items()
    for i, names in enumerate(_LAYERS, 1)
    for name in names
} | {
    "img_in_proj": "x_embedder_proj",
    "txt_in_input_embedder": "context_embedder_proj_in",
    **{f"byt5_in_fc{i}": f"context_embedder_2_linear_{i}" for i in (1, 2, 3)},
}
_BLOCK: Final = re.compile(r"^(double_blocks|single_blocks)_(\d{1,4})_(.+)$")
_REFINER_BLOCK: Final = re.compile(r"^txt_in_individual_token_refiner_blocks_(\d{1,4})_(.+)$")
# ComfyUI's Qwen-Image 2.1 has the gate of an MLP and what it lets through in one module, the gate first.
_GATED: Final = re.compile(r"^(transformer_blocks_\d{1,4}_img_mlp)_gate_up$")


def hunyuan_readings(module: str) -> tuple[Fused, ...]:
    """What a module, `_` for `.`, is in these families, the likeliest first; (): it is of none of them."""
    if gated := _GATED.match(module):
        return (Fused((f"{gated[1]}_gate_layer", f"{gated[1]}_proj"), Cut.EVEN),)
    if block := _BLOCK.match(module):
        blocks, names = _BLOCKS[block[1]]
        return (Fused((f"{blocks}_{block[2]}_{names[block[3]]}",)),) if block[3] in names else ()
    if refiner := _REFINER_BLOCK.match(module):
        fused = _REFINER.get(refiner[2])
        at = f"context_embedder_token_refiner_refiner_blocks_{refiner[1]}"
        return (Fused(tuple(f"{at}_{name}" for name in fused.modules), fused.cut),) if fused else ()
    return (Fused((_OUTSIDE[module],)),) if module in _OUTSIDE else ()
