"""Adapters by PEFT: put on the base, and written in the layouts that people upload."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

import torch
from diffusers import StableDiffusionXLPipeline
from peft import (
    LoHaConfig,
    LoKrConfig,
    LoraConfig,
    PeftModel,
    get_peft_model,
    get_peft_model_state_dict,
    set_peft_model_state_dict,
)
from safetensors.torch import load_file, save_file
from torch import Tensor

from lorapool_models.adapters import kohya

ATTENTION: Final = ("to_q", "to_k", "to_v", "to_out.0")
FEED_FORWARD: Final = ("ff.net.0.proj", "ff.net.2", "proj_in", "proj_out")
TEXT_ATTENTION: Final = ("q_proj", "k_proj", "v_proj", "out_proj")


CONVOLUTIONS: Final = ("conv1", "conv2", "conv_shortcut")
"""Of the UNet's residual layers."""


class NetworkType(StrEnum):
    """How an adapter's change of a weight is made of its tensors."""

    LORA = "lora"  # B A
    LOCON = "locon"  # the same, of convolutions too
    DORA = "dora"  # W + B A with the length of each row learned apart
    LOHA = "loha"  # (B1 A1) * (B2 A2), element by element
    LOKR = "lokr"  # the Kronecker product of a small and a low-rank matrix


class Layout(StrEnum):
    """How an adapter's file names its tensors."""

    DIFFUSERS = "diffusers"  # `save_lora_weights`: alpha in the header's metadata
    KOHYA = "kohya"  # alpha beside each pair, modules by their original names
    PEFT = "peft"  # `save_pretrained` of PEFT: adapter_config.json beside the weights


@dataclass(frozen=True)
class NetworkConfig:
    """What an adapter is made of."""

    layout: Layout
    rank: int = 4
    alpha: float = 4.0
    text: bool = False
    """Whether the text encoders are adapted as well."""
    network: NetworkType = NetworkType.LORA
    ranks: Mapping[str, int] = field(default_factory=dict)
    """Ranks of the modules whose names end so, where they differ from `rank`."""

    def __post_init__(self) -> None:
        if self.network in (NetworkType.LOHA, NetworkType.LOKR) and self.layout != Layout.KOHYA:
            raise ValueError(f"{self.network} is written in kohya's layout only")
        if self.network == NetworkType.DORA and self.layout == Layout.KOHYA:
            raise ValueError("DoRA is not written in kohya's layout: its programs differ in which length they learn")
        if self.network == NetworkType.LOKR and self.alpha != self.rank:
            raise ValueError("LyCORIS scales a LoKr by alpha / rank in some modules and not in others: keep them equal")

    @property
    def components(self) -> tuple[str, ...]:
        return ("unet", "text_encoder", "text_encoder_2") if self.text else ("unet",)


def put_on(pipeline: Any, shape: NetworkConfig, seed: int, random_up: float = 0.0) -> list[torch.nn.Parameter]:
    """Add an adapter that changes nothing yet, and return what is to be trained.

    With `random_up` it does change something: the second matrices are random, of that standard deviation.
    """
    torch.manual_seed(seed)
    trained: list[torch.nn.Parameter] = []
    for component in shape.components:
        model = getattr(pipeline, component)
        model.requires_grad_(False)
        if component == "unet" and shape.layout == Layout.PEFT:
            pipeline.unet = get_peft_model(model, _config(shape, component))
        else:
            model.add_adapter(_config(shape, component))
        trained += [p for p in getattr(pipeline, component).parameters() if p.requires_grad]
        if random_up:
            _randomize(getattr(pipeline, component), random_up)
    return trained


_ZERO_AT_FIRST: Final = ("lora_B", "hada_w2_b", "lokr_w1")
"""What makes a new adapter change nothing, by kind of network."""


def _randomize(model: torch.nn.Module, std: float) -> None:
    for name, parameter in model.named_parameters():
        if any(part in name for part in _ZERO_AT_FIRST):
            torch.nn.init.normal_(parameter, std=std)


def _config(shape: NetworkConfig, component: str) -> Any:
    targets = [*(ATTENTION if component == "unet" else TEXT_ATTENTION)]
    if component == "unet" and shape.network != NetworkType.LORA:
        # The finest level of this UNet has no attention: what changes every pixel must be in its convolutions.
        targets += [*FEED_FORWARD, *CONVOLUTIONS]
    ranks = {module: rank for module, rank in shape.ranks.items() if module in targets}
    if shape.network == NetworkType.LOHA:
        return LoHaConfig(r=shape.rank, alpha=int(shape.alpha), target_modules=targets, rank_pattern=ranks)
    if shape.network == NetworkType.LOKR:
        return LoKrConfig(r=shape.rank, alpha=int(shape.alpha), target_modules=targets, rank_pattern=ranks)
    dora = shape.network == NetworkType.DORA
    return LoraConfig(r=shape.rank, lora_alpha=shape.alpha, target_modules=targets, rank_pattern=ranks, use_dora=dora)


def write(pipeline: Any, shape: NetworkConfig, folder: Path) -> None:
    """Write the adapter that is on the pipeline, in its layout and in half precision."""
    folder.mkdir(parents=True, exist_ok=True)
    if shape.layout == Layout.PEFT:
        pipeline.unet.half().save_pretrained(folder)
        (folder / "README.md").unlink(missing_ok=True)  # PEFT's empty card
        _sort_targets(folder / "adapter_config.json")
        return
    weights = {component: _weights(getattr(pipeline, component)) for component in shape.components}
    if shape.layout == Layout.KOHYA:
        _write_kohya(weights, shape, folder)
    else:
        _write_diffusers(pipeline, weights, folder)


def read(pipeline: Any, shape: NetworkConfig, folder: Path) -> None:
    """Put a written adapter on the pipeline: by diffusers, by PEFT, and what neither reads by its names."""
    if shape.layout == Layout.PEFT:
        pipeline.unet = PeftModel.from_pretrained(pipeline.unet, folder)
    elif shape.network in (NetworkType.LOHA, NetworkType.LOKR):
        _read_lycoris(pipeline, shape, folder)
    else:
        name = f"{folder.name}.safetensors" if shape.layout == Layout.KOHYA else None
        pipeline.load_lora_weights(folder, weight_name=name)


def _read_lycoris(pipeline: Any, shape: NetworkConfig, folder: Path) -> None:
    file = load_file(folder / f"{folder.name}.safetensors")
    put_on(pipeline, shape, seed=0)
    for component in shape.components:
        model = getattr(pipeline, component)
        written_as = kohya.names(component, get_peft_model_state_dict(model, adapter_name="default"))
        own = {name: file[written].to(model.dtype) for name, written in written_as.items()}
        set_peft_model_state_dict(model, own, adapter_name="default")


def _sort_targets(path: Path) -> None:
    """PEFT writes them in the order of a set: another one at every run."""
    config = json.loads(path.read_text())
    config["target_modules"].sort()
    path.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")


def _weights(model: torch.nn.Module) -> dict[str, Tensor]:
    kept = get_peft_model_state_dict(model, adapter_name="default")
    return {name: value.detach().half().contiguous() for name, value in kept.items()}


def _write_diffusers(pipeline: Any, weights: Mapping[str, dict[str, Tensor]], folder: Path) -> None:
    configs = {c: getattr(pipeline, c).peft_config["default"].to_dict() for c in weights}
    StableDiffusionXLPipeline.save_lora_weights(
        folder,
        **{f"{c}_lora_layers": tensors for c, tensors in weights.items()},
        **{f"{c}_lora_adapter_metadata": config for c, config in configs.items()},
    )


def _write_kohya(weights: Mapping[str, dict[str, Tensor]], shape: NetworkConfig, folder: Path) -> None:
    tensors = {k: t for c, lora in weights.items() for k, t in kohya.layout(c, lora, shape.alpha).items()}
    metadata = {
        "ss_network_module": "networks.lora",
        "ss_network_dim": str(shape.rank),
        "ss_network_alpha": str(shape.alpha),
        "ss_base_model_version": "sdxl_base_v1-0",
        "modelspec.architecture": "stable-diffusion-xl-v1-base/lora",
    }
    if shape.network != NetworkType.LORA:
        metadata |= {"ss_network_module": "lycoris.kohya", "ss_network_args": json.dumps({"algo": shape.network})}
    save_file(tensors, folder / f"{folder.name}.safetensors", metadata)
