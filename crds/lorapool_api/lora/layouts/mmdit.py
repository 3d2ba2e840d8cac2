"""Modules of the original layouts of Flux, Flux.2 and SD3 as diffusers' modules, which hold some of their rows.

The original code computes queries, keys and values in one matrix, and in Flux's single blocks the MLP as well; kohya's
trainer and others name these fused modules. diffusers has a module for each. The correspondences, and the exchange of
shift and scale in the last normalisations, are those of diffusers' own conversions of the base models
(`diffusers.loaders.single_file_utils`). Flux and Flux.2 call modules alike that differ in diffusers.
"""

import re
from collections.abc import Sequence
from enum import Enum
from typing import Final, NamedTuple

RowRanges = tuple[tuple[int, int], ...]
"""Ranges of rows, each from its first to before its last, one below the other."""


class Cut(Enum):
    """How the rows of one module are those of others."""

    WHOLE = "as they are"
    EVEN = "evenly"
    SQUARES_AND_REST = "as many as there are inputs for each but the last, which gets the rest"
    SQUARE_AND_HALVES = "as many as there are inputs for the first, half of the rest for each of the others"
    SWAPPED = "one module with its halves exchanged"
    SWAPPED_IF_TWO = "exchanged where there are two rows for each input: shift and scale of a last block"


class Fused(NamedTuple):
    """The modules that a module of the original layout stands for."""

    modules: tuple[str, ...]
    cut: Cut = Cut.WHOLE


_QKV: Final = ("attn_to_q", "attn_to_k", "attn_to_v")
_ADDED_QKV: Final = ("attn_add_q_proj", "attn_add_k_proj", "attn_add_v_proj")

_FLUX_DOUBLE: Final = {
    "img_attn_qkv": Fused(_QKV, Cut.EVEN),
    "txt_attn_qkv": Fused(_ADDED_QKV, Cut.EVEN),
    "img_attn_proj": Fused(("attn_to_out_0",)),
    "txt_attn_proj": Fused(("attn_to_add_out",)),
    "img_mlp_0": Fused(("ff_net_0_proj",)),
    "img_mlp_2": Fused(("ff_net_2",)),
    "txt_mlp_0": Fused(("ff_context_net_0_proj",)),
    "txt_mlp_2": Fused(("ff_context_net_2",)),
    "img_mod_lin": Fused(("norm1_linear",)),
    "txt_mod_lin": Fused(("norm1_context_linear",)),
}
_FLUX_SINGLE: Final = {
    "linear1": Fused((*_QKV, "proj_mlp"), Cut.SQUARES_AND_REST),
    "linear2": Fused(("proj_out",)),
    "modulation_lin": Fused(("norm_linear",)),
    "attn_qkv": Fused(_QKV, Cut.EVEN),  # of XLabs, which leaves the MLP alone
}
_FLUX2_DOUBLE: Final = {
    "img_mlp_0": Fused(("ff_linear_in",)),
    "img_mlp_2": Fused(("ff_linear_out",)),
    "txt_mlp_0": Fused(("ff_context_linear_in",)),
    "txt_mlp_2": Fused(("ff_context_linear_out",)),
}
_FLUX2_SINGLE: Final = {
    "linear1": Fused(("attn_to_qkv_mlp_proj",)),
    "linear2": Fused(("attn_to_out",)),
}
_SD3_JOINT: Final = {
    "x_block_attn_qkv": Fused(_QKV, Cut.EVEN),
    "context_block_attn_qkv": Fused(_ADDED_QKV, Cut.EVEN),
    "x_block_attn2_qkv": Fused(("attn2_to_q", "attn2_to_k", "attn2_to_v"), Cut.EVEN),
    "x_block_attn_proj": Fused(("attn_to_out_0",)),
    "context_block_attn_proj": Fused(("attn_to_add_out",)),
    "x_block_attn2_proj": Fused(("attn2_to_out_0",)),
    "x_block_mlp_fc1": Fused(("ff_net_0_proj",)),
    "x_block_mlp_fc2": Fused(("ff_net_2",)),
    "context_block_mlp_fc1": Fused(("ff_context_net_0_proj",)),
    "context_block_mlp_fc2": Fused(("ff_context_net_2",)),
    "x_block_adaLN_modulation_1": Fused(("norm1_linear",)),
    "context_block_adaLN_modulation_1": Fused(("norm1_context_linear",), Cut.SWAPPED_IF_TWO),
}
_BLOCKS: Final = {
    "double_blocks": ("transformer_blocks", (_FLUX_DOUBLE, _FLUX2_DOUBLE)),
    "single_blocks": ("single_transformer_blocks", (_FLUX_SINGLE, _FLUX2_SINGLE)),
    "joint_blocks": ("transformer_blocks", (_SD3_JOINT,)),
}
_FLUX2_OUTSIDE: Final = {
    "time_in_in_layer": Fused(("time_guidance_embed_timestep_embedder_linear_1",)),
    "time_in_out_layer": Fused(("time_guidance_embed_timestep_embedder_linear_2",)),
    "guidance_in_in_layer": Fused(("time_guidance_embed_guidance_embedder_linear_1",)),
    "guidance_in_out_layer": Fused(("time_guidance_embed_guidance_embedder_linear_2",)),
    "double_stream_modulation_img_lin": Fused(("double_stream_modulation_img_linear",)),
    "double_stream_modulation_txt_lin": Fused(("double_stream_modulation_txt_linear",)),
    "single_stream_modulation_lin": Fused(("single_stream_modulation_linear",)),
}
# LongCat-Image and Fibo have no pooled text beside the time.
_TIME_OUTSIDE: Final = {
    "time_in_in_layer": Fused(("time_embed_timestep_embedder_linear_1",)),
    "time_in_out_layer": Fused(("time_embed_timestep_embedder_linear_2",)),
}
_OUTSIDE: Final = {
    "img_in": Fused(("x_embedder",)),
    "txt_in": Fused(("context_embedder",)),
    "time_in_in_layer": Fused(("time_text_embed_timestep_embedder_linear_1",)),
    "time_in_out_layer": Fused(("time_text_embed_timestep_embedder_linear_2",)),
    "vector_in_in_layer": Fused(("time_text_embed_text_embedder_linear_1",)),
    "vector_in_out_layer": Fused(("time_text_embed_text_embedder_linear_2",)),
    "guidance_in_in_layer": Fused(("time_text_embed_guidance_embedder_linear_1",)),
    "guidance_in_out_layer": Fused(("time_text_embed_guidance_embedder_linear_2",)),
    "x_embedder_proj": Fused(("pos_embed_proj",)),
    "t_embedder_mlp_0": Fused(("time_text_embed_timestep_embedder_linear_1",)),
    "t_embedder_mlp_2": Fused(("time_text_embed_timestep_embedder_linear_2",)),
    "y_embedder_mlp_0": Fused(("time_text_embed_text_embedder_linear_1",)),
    "y_embedder_mlp_2": Fused(("time_text_embed_text_embedder_linear_2",)),
    "final_layer_linear": Fused(("proj_out",)),
    "final_layer_adaLN_modulation_1": Fused(("norm_out_linear",), Cut.SWAPPED),
}
_BLOCK: Final = re.compile(r"^(double_blocks|single_blocks|joint_blocks)_(\d{1,4})_(.+)$")


def mmdit_readings(module: str) -> tuple[Fused, ...]:
    """What a module, `_` for `.`, is in Flux or its like, Flux.2 or SD3, the likeliest first; (): it is of none."""
    if block := _BLOCK.match(module):
        blocks, families = _BLOCKS[block[1]]
        found = (known[block[3]] for known in families if block[3] in known)
        return tuple(Fused(tuple(f"{blocks}_{block[2]}_{m}" for m in fused.modules), fused.cut) for fused in found)
    return tuple(known[module] for known in (_OUTSIDE, _FLUX2_OUTSIDE, _TIME_OUTSIDE) if module in known)


def split_rows(fused: Fused, outputs: int, inputs: int) -> Sequence[RowRanges] | None:
    """The rows of each module in a weight of `outputs` x `inputs`, or None where it cannot be cut so.

    A module that has all rows in their order has no ranges: ().
    """
    match fused.cut:
        case Cut.EVEN:
            return _ranges([outputs // len(fused.modules)] * len(fused.modules), outputs)
        case Cut.SQUARES_AND_REST:
            squares = [inputs] * (len(fused.modules) - 1)
            return _ranges([*squares, outputs - sum(squares)], outputs)
        case Cut.SQUARE_AND_HALVES:
            rest = (outputs - inputs) // (len(fused.modules) - 1)
            return _ranges([inputs, *[rest] * (len(fused.modules) - 1)], outputs)
        case Cut.SWAPPED:
            return _swapped(outputs)
        case Cut.SWAPPED_IF_TWO if outputs == 2 * inputs:
            return _swapped(outputs)
        case _:
            return [()] * len(fused.modules)


def _ranges(sizes: Sequence[int], outputs: int) -> Sequence[RowRanges] | None:
    if sum(sizes) != outputs or min(sizes) <= 0:
        return None
    ends = [sum(sizes[: i + 1]) for i in range(len(sizes))]
    return [((end - size, end),) for size, end in zip(sizes, ends, strict=True)]


def _swapped(outputs: int) -> Sequence[RowRanges] | None:
    half, odd = divmod(outputs, 2)
    return None if odd or not half else [((half, outputs), (0, half))]
