"""kohya's layout of adapter files: modules by the names of the original SDXL code, joined by underscores.

`lora_unet_<module>.lora_down.weight`, `.lora_up.weight` and `.alpha`; text encoders as `lora_te1_` and `lora_te2_`.
The strength of a pair is alpha / rank.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

import torch
from torch import Tensor

_TEXT: Final = {"text_encoder": "lora_te1", "text_encoder_2": "lora_te2"}
_RESNET: Final = {
    "conv1": "in_layers_2",
    "conv2": "out_layers_3",
    "conv_shortcut": "skip_connection",
    "time_emb_proj": "emb_layers_1",
}
_LAYERS: Final = 2
"""Residual layers in a block on the way down; one more on the way up."""


def prefix(component: str, module: str) -> str:
    """The module's name in the file, without what is behind the dot."""
    if component != "unet":
        return f"{_TEXT[component]}_{_text_module(module).replace('.', '_')}"
    return f"lora_unet_{_original(module.split('.'))}"


def _text_module(module: str) -> str:
    return module if module.startswith("text_model.") else f"text_model.{module}"


def _original(parts: list[str]) -> str:
    """A module of the UNet by its place in the original's flat lists of blocks."""
    if parts[0] == "mid_block":
        index = 1 if parts[1] == "attentions" else 2 * int(parts[2])
        return f"middle_block_{index}_{_inner(parts[1], parts[3:])}"
    side, block, kind, layer = parts[0], int(parts[1]), parts[2], int(parts[3])
    index = block * (_LAYERS + 1) + layer + (1 if side == "down_blocks" else 0)
    blocks = "input_blocks" if side == "down_blocks" else "output_blocks"
    return f"{blocks}_{index}_{1 if kind == 'attentions' else 0}_{_inner(kind, parts[4:])}"


def _inner(kind: str, rest: list[str]) -> str:
    return "_".join(rest if kind == "attentions" else [_RESNET[rest[0]], *rest[1:]])


_TENSORS: Final = {"lora_A.weight": "lora_down.weight", "lora_B.weight": "lora_up.weight"}
"""LoHa's and LoKr's tensors (`hada_w1_a`, `lokr_w1`, ...) have the same names in PEFT and in LyCORIS."""


def names(component: str, network: Iterable[str]) -> dict[str, str]:
    """PEFT's names of one component's tensors (`<module>.lora_A.weight`, `<module>.hada_w1_a`), and kohya's."""
    found = {}
    for key in network:
        module, _, kind = key.removesuffix(".weight").rpartition(".")
        found[key] = f"{prefix(component, module)}.{_TENSORS.get(key[len(module) + 1 :], kind)}"
    return found


def layout(component: str, network: Mapping[str, Tensor], alpha: float) -> dict[str, Tensor]:
    """One component's tensors by kohya's names, with an alpha for each module."""
    tensors = {}
    for key, written in names(component, network).items():
        tensors[written] = network[key]
        tensors[f"{written.partition('.')[0]}.alpha"] = torch.tensor(alpha, dtype=network[key].dtype)
    return tensors
