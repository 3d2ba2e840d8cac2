"""What pictures control tiny bases with."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import ControlNetModel
from PIL import Image
from safetensors.torch import save_file
from tests import tiny
from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

from lorapool_api.kinds.models.controls import ControlSpec
from lorapool_api.kinds.sources import ModelSource


def make_control(folder: Path, pipeline: Any, seed: int) -> Path:
    """A ControlNet of the pipeline's base that has an effect: as a new one, its last layers are zero."""
    torch.manual_seed(seed)
    net = ControlNetModel.from_unet(pipeline.unet, conditioning_embedding_out_channels=(16, 32))
    for parameter in net.parameters():
        if not parameter.any():
            torch.nn.init.normal_(parameter, std=0.15)
    net.save_pretrained(folder, safe_serialization=True)
    return folder


ENCODER_WIDTH = 24
_HEADS = 64  # of a Plus: its converter knows heads of this width only


def make_image_prompt(folder: Path, keys: Mapping[str, tuple[int, int]], seed: int, *, plus: bool = False) -> Path:
    """An IP-Adapter as its authors lay it out: `models/ip.safetensors` and `models/image_encoder`.

    Args:
        keys: name of an attention in the file -> (out, in) of its keys and values.
    """
    torch.manual_seed(seed)
    config = CLIPVisionConfig(
        hidden_size=ENCODER_WIDTH,
        intermediate_size=32,
        projection_dim=ENCODER_WIDTH,
        num_hidden_layers=3,
        num_attention_heads=4,
        image_size=tiny.SIZE,
        patch_size=8,
    )
    CLIPVisionModelWithProjection(config).save_pretrained(folder / "models" / "image_encoder")
    (_, width), *_ = keys.values()
    shapes = _plus(width) if plus else _plain(width)
    tensors = {f"image_proj.{name}": torch.randn(shape) * 0.3 for name, shape in shapes.items()}
    for name, shape in keys.items():
        tensors |= {f"ip_adapter.{name}.to_{which}_ip.weight": torch.randn(shape) * 0.3 for which in "kv"}
    save_file(tensors, folder / "models" / "ip.safetensors")
    return folder


def unet_keys(unet: Any) -> dict[str, tuple[int, int]]:
    """The cross-attentions of a UNet, numbered as IP-Adapters number them: every second one."""
    names = [name for name in unet.attn_processors if name.endswith("attn2.processor")]
    layers = (unet.get_submodule(name.removesuffix(".processor")).to_k for name in names)
    return {str(2 * i + 1): tuple(layer.weight.shape) for i, layer in enumerate(layers)}


def _plain(width: int) -> dict[str, tuple[int, ...]]:
    return {"proj.weight": (4 * width, ENCODER_WIDTH), "proj.bias": (4 * width,), **_norm("norm", width)}


def _plus(width: int) -> dict[str, tuple[int, ...]]:
    """Four layers of attention to the encoder's states, by a few learned rows."""
    inner = 32
    shapes: dict[str, tuple[int, ...]] = {
        "latents": (1, 6, inner),
        "proj_in.weight": (inner, ENCODER_WIDTH),
        "proj_in.bias": (inner,),
        "proj_out.weight": (width, inner),
        "proj_out.bias": (width,),
        **_norm("norm_out", width),
    }
    for i in range(4):
        one, two = f"layers.{i}.0", f"layers.{i}.1"
        shapes |= {
            **_norm(f"{one}.norm1", inner),
            **_norm(f"{one}.norm2", inner),
            f"{one}.to_q.weight": (_HEADS, inner),
            f"{one}.to_kv.weight": (2 * _HEADS, inner),
            f"{one}.to_out.weight": (inner, _HEADS),
            **_norm(f"{two}.0", inner),
            f"{two}.1.weight": (4 * inner, inner),
            f"{two}.3.weight": (inner, 4 * inner),
        }
    return shapes


def _norm(name: str, width: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}.weight": (width,), f"{name}.bias": (width,)}


def specs(folders: Mapping[str, Path], **fields: Any) -> tuple[ControlSpec, ...]:
    """Not validated: a temporary folder may have any name."""
    sources = {name: ModelSource.model_construct(path=str(path)) for name, path in folders.items()}
    return tuple(ControlSpec.model_construct(name=name, source=source, **fields) for name, source in sources.items())


def picture(seed: int, size: tuple[int, int] = (tiny.SIZE, tiny.SIZE)) -> Image.Image:
    """Noise that no two seeds have alike."""
    dice = np.random.default_rng(seed)
    return Image.fromarray(dice.integers(0, 255, (size[1], size[0], 3), dtype=np.uint8))
