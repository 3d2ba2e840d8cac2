"""UNets in SDXL's shape with random weights, and twins of them that share the weights."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

import torch
from accelerate import init_empty_weights
from diffusers import UNet2DConditionModel
from torch import nn

_POOL: Final = 1 << 25
ATTENTION: Final = ("to_q", "to_k", "to_v", "to_out.0")
FEED_FORWARD: Final = ("ff.net.0.proj", "ff.net.2")


@dataclass(frozen=True)
class UNetShape:
    """Widths and depths; levels, names and the order of modules are SDXL's.

    Attributes:
        channels: of each level; the first level has no attention.
        layers: transformer blocks of each level.
        context: width of the prompt's embeddings; `pooled`: of the pooled one.
    """

    channels: tuple[int, ...]
    layers: tuple[int, ...]
    head_width: int
    context: int
    pooled: int
    time: int

    def config(self) -> dict[str, Any]:
        """For `UNet2DConditionModel`."""
        deeper = len(self.channels) - 1
        return {
            "sample_size": 128,
            "block_out_channels": self.channels,
            "down_block_types": ("DownBlock2D", *("CrossAttnDownBlock2D",) * deeper),
            "up_block_types": (*("CrossAttnUpBlock2D",) * deeper, "UpBlock2D"),
            "layers_per_block": 2,
            # The name says dimension; the model takes it for the number of heads.
            "attention_head_dim": tuple(width // self.head_width for width in self.channels),
            "transformer_layers_per_block": self.layers,
            "use_linear_projection": True,
            "cross_attention_dim": self.context,
            "addition_embed_type": "text_time",
            "addition_time_embed_dim": self.time,
            "projection_class_embeddings_input_dim": 6 * self.time + self.pooled,
        }


SHAPES: Final[Mapping[str, UNetShape]] = MappingProxyType(
    {
        # 2.57 B parameters.
        "sdxl": UNetShape((320, 640, 1280), (1, 2, 10), 64, 2048, 1280, 256),
        # A quarter of the parameters, the same number of modules.
        "half": UNetShape((160, 320, 640), (1, 2, 10), 32, 1024, 640, 128),
        "tiny": UNetShape((32, 64), (1, 2), 16, 64, 32, 8),
    }
)


def make_unet(shape: UNetShape, dtype: torch.dtype, device: str = "cpu", seed: int = 0) -> Any:
    """A UNet whose activations stay of order one: each matrix has a variance of 1 / inputs."""
    unet = empty_unet(shape)
    # Random numbers are drawn once and used again from other places: drawing 2.57 B of them takes minutes.
    generator = torch.Generator().manual_seed(seed)
    count = sum(parameter.numel() for parameter in unet.parameters())
    pool = torch.randn(min(count, _POOL), generator=generator).to(dtype)
    for name, parameter in list(unet.named_parameters()):
        owner, _, attribute = name.rpartition(".")
        weight = _weight(tuple(parameter.shape), attribute, pool, generator).to(device)
        unet.get_submodule(owner)._parameters[attribute] = nn.Parameter(weight, requires_grad=False)
    return unet.eval()


def twin(unet: Any) -> Any:
    """Another tree of modules on the very same weights: what one writes, the other sees."""
    with init_empty_weights():
        other = UNet2DConditionModel.from_config(unet.config)
    for name, parameter in unet.named_parameters():
        owner, _, attribute = name.rpartition(".")
        other.get_submodule(owner)._parameters[attribute] = nn.Parameter(parameter.data, requires_grad=False)
    return other.eval()


def empty_unet(shape: UNetShape) -> Any:
    with init_empty_weights():
        return UNet2DConditionModel(**shape.config())


def linears(unet: Any, ends: tuple[str, ...]) -> dict[str, nn.Linear]:
    """The Linears whose names end so, in the model's order."""
    named = unet.named_modules()
    return {n: m for n, m in named if isinstance(m, nn.Linear) and n.endswith(tuple(f".{end}" for end in ends))}


def inputs(shape: UNetShape, dtype: torch.dtype, device: str, latent: int, pictures: int = 1) -> dict[str, Any]:
    """The arguments of one forward of so many pictures, `latent` positions a side."""
    generator = torch.Generator().manual_seed(0)

    def random(*size: int) -> torch.Tensor:
        return torch.randn(size, generator=generator).to(device, dtype)

    return {
        "sample": random(pictures, 4, latent, latent),
        "timestep": torch.tensor([500.0], device=device),
        "encoder_hidden_states": random(pictures, 77, shape.context),
        "added_cond_kwargs": {"text_embeds": random(pictures, shape.pooled), "time_ids": random(pictures, 6)},
    }


def _weight(size: tuple[int, ...], attribute: str, pool: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    if len(size) < 2:  # norms and biases
        return torch.full(size, 1.0 if attribute == "weight" else 0.0, dtype=pool.dtype)
    weight = torch.empty(size, dtype=pool.dtype)
    flat, inputs_ = weight.view(-1), weight[0].numel()
    start = int(torch.randint(pool.numel(), (1,), generator=generator))
    done = 0
    while done < flat.numel():
        part = pool[start : start + flat.numel() - done]
        flat[done : done + part.numel()] = part
        done, start = done + part.numel(), 0
    return weight.mul_(inputs_**-0.5)
