"""Adapter files of every kind, written by the libraries that define them, with weights strong enough to be seen."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from peft import LoHaConfig, LoKrConfig, LoraConfig, get_peft_model

from lorapool_models.adapters import lora
from lorapool_models.adapters.lora import Layout, NetworkConfig, NetworkType

# The deviation of the random matrices; LoHa and LoKr multiply more of them.
_STRENGTH = {
    NetworkType.LORA: 0.6,
    NetworkType.LOCON: 0.2,
    NetworkType.DORA: 0.6,
    NetworkType.LOHA: 0.5,
    NetworkType.LOKR: 0.4,
}

Put = Callable[[Any, Path], Path]
"""Puts the adapter on a pipeline, as PEFT applies it, writes it into the folder and returns the file."""


def _recipe(shape: NetworkConfig) -> Put:
    def put(pipeline: Any, folder: Path) -> Path:
        torch.manual_seed(1)
        lora.put_on(pipeline, shape, seed=1, random_up=_STRENGTH[shape.network])
        for component in shape.components:
            _round(getattr(pipeline, component))
        lora.write(pipeline, shape, folder)
        for component in shape.components:
            getattr(pipeline, component).float()
        (file,) = folder.glob("*.safetensors")
        return file

    return put


def _peft(config: Any, std: float = 0.4) -> Put:
    def put(pipeline: Any, folder: Path) -> Path:
        torch.manual_seed(1)
        pipeline.unet = get_peft_model(pipeline.unet, config)
        for name, parameter in pipeline.unet.named_parameters():
            if parameter.requires_grad and "magnitude" not in name:
                torch.nn.init.normal_(parameter, std=std)
        pipeline.unet.save_pretrained(folder)
        return folder / "adapter_model.safetensors"

    return put


def _round(model: torch.nn.Module) -> None:
    """To what a file of half precision can hold; the base's weights stay."""
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.data = parameter.data.half().float()


_ATTENTION = list(lora.ATTENTION)
_ALL = [*lora.ATTENTION, *lora.CONVOLUTIONS, "ff.net.0.proj", "ff.net.2", "proj_in", "time_emb_proj"]

EVERY: dict[str, Put] = {
    "lora diffusers": _recipe(NetworkConfig(Layout.DIFFUSERS)),
    "lora diffusers, text too": _recipe(NetworkConfig(Layout.DIFFUSERS, rank=8, alpha=3, text=True)),
    "lora kohya, mixed ranks, text too": _recipe(
        NetworkConfig(Layout.KOHYA, rank=8, alpha=6, text=True, ranks={"to_q": 2, "to_k": 4, "q_proj": 2})
    ),
    "lora peft": _recipe(NetworkConfig(Layout.PEFT, rank=8, alpha=8)),
    "lora peft, patterns, rslora": _peft(
        LoraConfig(
            r=4, lora_alpha=6, target_modules=_ATTENTION, use_rslora=True,
            rank_pattern={"to_q": 2}, alpha_pattern={"attn2.to_k": 3},
        ),
        std=0.18,
    ),
    "locon kohya": _recipe(NetworkConfig(Layout.KOHYA, rank=8, alpha=4, network=NetworkType.LOCON)),
    "lora peft, all modules": _peft(LoraConfig(r=4, lora_alpha=2, target_modules=_ALL)),
    "dora diffusers": _recipe(NetworkConfig(Layout.DIFFUSERS, rank=8, alpha=8, network=NetworkType.DORA)),
    "dora peft, convolutions too": _peft(LoraConfig(r=4, lora_alpha=4, target_modules=_ALL, use_dora=True)),
    "loha kohya": _recipe(NetworkConfig(Layout.KOHYA, rank=4, alpha=4, network=NetworkType.LOHA)),
    "loha peft": _peft(LoHaConfig(r=4, alpha=6, target_modules=_ALL, use_effective_conv2d=True)),
    "lokr kohya": _recipe(NetworkConfig(Layout.KOHYA, rank=8, alpha=8, network=NetworkType.LOKR)),
    "lokr peft, both factors, core": _peft(
        LoKrConfig(r=2, alpha=3, target_modules=_ALL, decompose_both=True, use_effective_conv2d=True)
    ),
    "lokr peft, full factors": _peft(LoKrConfig(r=64, alpha=16, target_modules=_ATTENTION)),
}  # fmt: skip
