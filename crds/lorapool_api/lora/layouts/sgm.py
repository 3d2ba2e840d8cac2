"""Block names of the original (sgm) layout of SD and SDXL UNets in terms of diffusers' names.

Kohya's trainer writes SDXL files under the original names, with `_` for `.`:
`input_blocks_4_1_...` is diffusers' `down_blocks_1_attentions_0_...`. Both layouts describe a UNet with two layers per
block; the correspondence is that of diffusers' own conversion of single-file checkpoints.
"""

import re
from typing import Final

_LAYERS: Final = 2

_RESNET: Final = {
    "in_layers_2": "conv1",
    "out_layers_3": "conv2",
    "emb_layers_1": "time_emb_proj",
    "skip_connection": "conv_shortcut",
}
_FIXED: Final = {
    "time_embed_0": "time_embedding_linear_1",
    "time_embed_2": "time_embedding_linear_2",
    "label_emb_0_0": "add_embedding_linear_1",
    "label_emb_0_2": "add_embedding_linear_2",
    "input_blocks_0_0": "conv_in",
    "out_2": "conv_out",
}
_BLOCK: Final = re.compile(r"^(input_blocks|output_blocks)_(\d+)_(\d+)_(.+)$")
_MIDDLE: Final = re.compile(r"^middle_block_([012])_(.+)$")


def diffusers_name(module: str) -> str:
    """The diffusers name of a UNet module, `_` for `.`; a name of another layout comes back as it is."""
    if module in _FIXED:
        return _FIXED[module]
    if middle := _MIDDLE.match(module):
        index, rest = int(middle[1]), middle[2]
        return f"mid_block_attentions_0_{rest}" if index == 1 else f"mid_block_resnets_{index // 2}_{_resnet(rest)}"
    if block := _BLOCK.match(module):
        side, index, part, rest = block[1], int(block[2]), int(block[3]), block[4]
        return _down(index, part, rest) if side == "input_blocks" else _up(index, part, rest)
    return module


def _down(index: int, part: int, rest: str) -> str:
    block, layer = divmod(index - 1, _LAYERS + 1)
    if rest == "op":
        return f"down_blocks_{block}_downsamplers_0_conv"
    return f"down_blocks_{block}_{_layer(part, layer, rest)}"


def _up(index: int, part: int, rest: str) -> str:
    block, layer = divmod(index, _LAYERS + 1)
    if rest == "conv":
        return f"up_blocks_{block}_upsamplers_0_conv"
    return f"up_blocks_{block}_{_layer(part, layer, rest)}"


def _layer(part: int, layer: int, rest: str) -> str:
    return f"attentions_{layer}_{rest}" if part == 1 else f"resnets_{layer}_{_resnet(rest)}"


def _resnet(rest: str) -> str:
    return _RESNET.get(rest, rest)
