"""A pipeline of SD 1.5 as one file, in the names of the original code: the way in which people share checkpoints."""

import re
from pathlib import Path
from typing import Any, Final

import torch
from safetensors.torch import save_file

_UNET: Final = {
    "conv_in": "input_blocks.0.0",
    "conv_norm_out": "out.0",
    "conv_out": "out.2",
    "time_embedding.linear_1": "time_embed.0",
    "time_embedding.linear_2": "time_embed.2",
}
_RESNET: Final = {
    "norm1": "in_layers.0",
    "conv1": "in_layers.2",
    "time_emb_proj": "emb_layers.1",
    "norm2": "out_layers.0",
    "conv2": "out_layers.3",
    "conv_shortcut": "skip_connection",
}
_VAE: Final = (
    (r"\.conv_shortcut\.", ".nin_shortcut."),
    (r"\.conv_norm_out\.", ".norm_out."),
    (r"\.mid_block\.resnets\.0\.", ".mid.block_1."),
    (r"\.mid_block\.resnets\.1\.", ".mid.block_2."),
    (r"\.mid_block\.attentions\.0\.", ".mid.attn_1."),
    (r"\.attn_1\.group_norm\.", ".attn_1.norm."),
    (r"\.attn_1\.to_([qkv])\.", r".attn_1.\1."),
    (r"\.attn_1\.to_out\.0\.", ".attn_1.proj_out."),
    (r"\.down_blocks\.(\d)\.resnets\.(\d)\.", r".down.\1.block.\2."),
    (r"\.down_blocks\.(\d)\.downsamplers\.0\.conv\.", r".down.\1.downsample.conv."),
)


def write(path: Path, pipeline: Any) -> Path:
    """The weights of an SD 1.5 pipeline with two blocks of two layers."""
    tensors: dict[str, torch.Tensor] = {}
    for name, tensor in pipeline.unet.state_dict().items():
        tensors[f"model.diffusion_model.{_unet(name)}"] = tensor
    blocks = len(pipeline.vae.config.up_block_types)
    for name, tensor in pipeline.vae.state_dict().items():
        original = _vae(name, blocks)
        # Attention there is made of convolutions.
        is_matrix = ".attn_1." in original and tensor.dim() == 2
        tensors[f"first_stage_model.{original}"] = tensor[:, :, None, None] if is_matrix else tensor
    for name, tensor in pipeline.text_encoder.state_dict().items():
        tensors[f"cond_stage_model.transformer.text_model.{name.removeprefix('text_model.')}"] = tensor
    save_file({name: tensor.contiguous().clone() for name, tensor in tensors.items()}, path)
    return path


def _unet(name: str) -> str:
    module, _, parameter = name.rpartition(".")
    if module in _UNET:
        return f"{_UNET[module]}.{parameter}"
    side, *rest = name.split(".")
    if side == "mid_block":
        place = 1 if rest[0] == "attentions" else 2 * int(rest[1])
        return ".".join(["middle_block", str(place), *_inner(rest[0], rest[2:])])
    block, kind, layer, *inner = rest
    return _placed(side, int(block), kind, int(layer), inner)


def _placed(side: str, block: int, kind: str, layer: int, inner: list[str]) -> str:
    if kind == "downsamplers":
        return ".".join([f"input_blocks.{3 * block + 3}.0.op", *inner[1:]])
    if side == "down_blocks":
        root, place = "input_blocks", 3 * block + layer + 1
    else:
        root, place = "output_blocks", 3 * block + (2 if kind == "upsamplers" else layer)
    if kind == "upsamplers":  # behind the last layer of its block, which has no attention in the first one
        return ".".join([f"{root}.{place}.1", *inner])
    return ".".join([root, str(place), "1" if kind == "attentions" else "0", *_inner(kind, inner)])


def _inner(kind: str, rest: list[str]) -> list[str]:
    return rest if kind == "attentions" else [_RESNET[rest[0]], *rest[1:]]


def _vae(name: str, blocks: int) -> str:
    for pattern, original in _VAE:
        name = re.sub(pattern, original, name)
    return re.sub(r"\.up_blocks\.(\d)\.(resnets\.(\d)|upsamplers\.0\.conv)\.", lambda m: _up(m, blocks), name)


def _up(match: "re.Match[str]", blocks: int) -> str:
    """The original code counts these blocks from the picture on."""
    place = blocks - 1 - int(match[1])
    return f".up.{place}.upsample.conv." if match[3] is None else f".up.{place}.block.{match[3]}."


def configuration_of(folder: Path, target: Path) -> Path:
    """The pipeline's folder without its weights."""
    for file in folder.rglob("*"):
        if file.is_file() and file.suffix != ".safetensors":
            copy = target / file.relative_to(folder)
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(file.read_bytes())
    return target
