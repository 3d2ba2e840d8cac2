"""A module's weight where a library keeps it packed: its real shape and dtype, its numbers, products with it.

torchao's weights are tensors of their own kind, which torch multiplies with as with any. Those of bitsandbytes are
bytes with a `quant_state` beside them, those of a GGUF file bytes with a `quant_type` and a `compute_dtype`.
"""

from typing import Any

import torch
from torch import nn
from torch.nn import functional


def is_packed(weight: torch.Tensor) -> bool:
    """Whether a library keeps it in fewer bits than its dtype says."""
    return type(weight) not in (torch.Tensor, nn.Parameter)


def has_state(module: nn.Module) -> bool:
    """Whether it is a Linear whose weight torch cannot multiply with: bytes, and beside them what they mean."""
    return isinstance(module, nn.Linear) and any(
        getattr(module.weight, name, None) is not None for name in ("quant_state", "quant_type")
    )


def shape_of(module: nn.Linear | nn.Conv2d) -> tuple[int, ...]:
    """(out, in, ...) of the weight, packed or not."""
    if isinstance(module, nn.Linear):
        return module.out_features, module.in_features
    return tuple(module.weight.shape)


def dtype_of(weight: torch.Tensor) -> torch.dtype:
    """What products with the weight are computed in."""
    state = getattr(weight, "quant_state", None)
    dtype: torch.dtype = getattr(weight, "compute_dtype", weight.dtype) if state is None else state.dtype
    return dtype


def plain(weight: torch.Tensor, device: torch.device | None = None) -> torch.Tensor:
    """The numbers that a packed weight stands for, in `dtype_of` and a tensor of their own; else the weight itself.

    `device` is where they are wanted: a base that is offloaded lies in host memory.
    """
    numbers = _numbers(weight)
    return numbers if device is None else numbers.to(device)


def _numbers(weight: torch.Tensor) -> torch.Tensor:
    state = getattr(weight, "quant_state", None)
    if state is not None:
        from bitsandbytes.functional import dequantize_4bit

        numbers: torch.Tensor = dequantize_4bit(weight.data, state)
        return numbers
    if hasattr(weight, "quant_type"):
        return _of_blocks(weight)
    if is_packed(weight):
        return weight.dequantize()
    return weight


def _of_blocks(weight: Any) -> torch.Tensor:
    """Computed in float32, as the format defines it, and rounded once; diffusers' own reader computes in float16."""
    from diffusers.quantizers.gguf.utils import GGML_QUANT_SIZES, dequantize_functions

    block, size_bytes = GGML_QUANT_SIZES[weight.quant_type]
    blocks = weight.as_tensor().reshape(-1, size_bytes)
    numbers: torch.Tensor = dequantize_functions[weight.quant_type](blocks, block, size_bytes, dtype=torch.float32)
    return numbers.view(weight.quant_shape).to(weight.compute_dtype)


class PackedLinear(nn.Linear):
    """A Linear with a weight that torch cannot multiply with; a Linear becomes one by a change of its class."""

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        return product(input, self.weight, self.bias)


def product(input: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
    """x W' + b with such a weight, in the input's dtype."""
    if hasattr(weight, "quant_type"):
        return functional.linear(input, _of_blocks(weight), bias)
    from bitsandbytes import matmul_4bit

    out: torch.Tensor = matmul_4bit(input, weight, quant_state=weight.quant_state, bias=bias)  # type: ignore[attr-defined]
    return out
