"""Modules of the original layouts of Z-Image, Lumina 2, Ideogram 4 and Krea 2 in terms of diffusers' modules.

The correspondences are those of diffusers' own conversions of the base models and of adapters for them
(`diffusers.loaders.single_file_utils`, `diffusers.loaders.lora_conversion_utils`). Some names are diffusers' own for
one of these families and the original ones for another.
"""

import re
from collections.abc import Iterable
from typing import Final

from lorapool_api.lora.layouts.mmdit import Cut, Fused

_QKV: Final = ("to_q", "to_k", "to_v")
# Of Z-Image and Ideogram 4, then of Lumina 2, whose keys and values have fewer heads than its queries.
_LAYER: Final = {
    "attention_qkv": (
        Fused(tuple(f"attention_{m}" for m in _QKV), Cut.EVEN),
        Fused(tuple(f"attn_{m}" for m in _QKV), Cut.SQUARE_AND_HALVES),
    ),
    "attention_out": (Fused(("attention_to_out_0",)), Fused(("attn_to_out_0",))),
    "attention_o": (Fused(("attention_to_out_0",)),),
    "feed_forward_w1": (Fused(("feed_forward_w1",)), Fused(("feed_forward_linear_1",))),
    "feed_forward_w2": (Fused(("feed_forward_w2",)), Fused(("feed_forward_linear_2",))),
    "feed_forward_w3": (Fused(("feed_forward_w3",)), Fused(("feed_forward_linear_3",))),
    "adaLN_modulation_1": (Fused(("norm1_linear",)),),
}
_OUTSIDE: Final = {
    "x_embedder": (
        "x_embedder",
        "all_x_embedder_2-1",
    ),
    "final_layer_linear": ("all_final_layer_2-1_linear", "norm_out_linear_2"),
    "final_layer_adaLN_modulation_1": ("all_final_layer_2-1_adaLN_modulation_1", "norm_out_linear_1"),
    "cap_embedder_1": (
        "cap_embedder_1",
        "time_caption_embed_caption_embedder_1",
    ),
    "t_embedder_mlp_0": ("time_caption_embed_timestep_embedder_linear_1",),
    "t_embedder_mlp_2": ("time_caption_embed_timestep_embedder_linear_2",),
    # Of Krea 2.
    "first": ("img_in",),
    "last_linear": ("final_layer_linear",),
    "tmlp_0": ("time_embed_linear_1",),
    "tmlp_2": ("time_embed_linear_2",),
    "tproj_1": ("time_mod_proj",),
    "txtmlp_1": ("txt_in_linear_1",),
    "txtmlp_3": ("txt_in_linear_2",),
    "txtfusion_projector": ("text_fusion_projector",),
}
_LAYERS: Final = re.compile(r"^((?:layers|noise_refiner|context_refiner)_\d{1,4})_(.+)$")
_KREA_BLOCK: Final = re.compile(
    r"^(?:blocks|txtfusion_(?P<kind>layerwise|refiner)_blocks)_(?P<index>\d{1,4})_(?P<module>(?:attn|mlp)_\w+)$"
)
_KREA: Final = {
    "attn_wq": "attn_to_q",
    "attn_wk": "attn_to_k",
    "attn_wv": "attn_to_v",
    "attn_wo": "attn_to_out_0",
    "attn_gate": "attn_to_gate",
    "mlp_gate": "ff_gate",
    "mlp_up": "ff_up",
    "mlp_down": "ff_down",
}


def single_stream_readings(module: str) -> tuple[Fused, ...]:
    """What a module, `_` for `.`, is in one of these families, the likeliest first; (): it is of none."""
    if block := _KREA_BLOCK.match(module):
        blocks = f"text_fusion_{block['kind']}_blocks" if block["kind"] else "transformer_blocks"
        name = _KREA.get(block["module"])
        return (Fused((f"{blocks}_{block['index']}_{name}",)),) if name else ()
    if layer := _LAYERS.match(module):
        return tuple(_within(layer[1], _LAYER.get(layer[2], ())))
    return tuple(Fused((name,)) for name in _OUTSIDE.get(module, ()))


def _within(layer: str, found: Iterable[Fused]) -> Iterable[Fused]:
    return (Fused(tuple(f"{layer}_{module}" for module in fused.modules), fused.cut) for fused in found)
