"""A module's weight where a library keeps it packed: its real shape and dtype, its numbers, products with it.

torchao's weights are tensors of their own kind, which torch multiplies with as with any. Those of bitsandbytes are
bytes with a `quant_state` beside them.
"""

import torch
from torch import nn


def is_packed(weight: torch.Tensor) -> bool:
    """Whether a library keeps it in fewer bits than its dtype says."""
    return type(weight) not in (torch.Tensor, nn.Parameter)


def has_state(module: nn.Module) -> bool:
    """Whether it is a Linear whose weight torch cannot multiply with: bytes of bitsandbytes."""
    return isinstance(module, nn.Linear) and getattr(module.weight, "quant_state", None) is not None


def shape_of(module: nn.Linear | nn.Conv2d) -> tuple[int, ...]:
    """(out, in, ...) of the weight, packed or not."""
    if isinstance(module, nn.Linear):
        return module.out_features, module.in_features
    return tuple(module.weight.shape)


def dtype_of(weight: torch.Tensor) -> torch.dtype:
    """What products with the weight are computed in."""
    state = getattr(weight, "quant_state", None)
    dtype: torch.dtype = weight.dtype if state is None else state.dtype
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
    if is_packed(weight):
        return weight.dequantize()
    return weight


class PackedLinear(nn.Linear):
    """A Linear with a weight of bitsandbytes; a Linear becomes one by a change of its class."""

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        return product(input, self.weight, self.bias)


def product(input: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
    """x W' + b with a weight of bitsandbytes, in the input's dtype."""
    from bitsandbytes import matmul_4bit

    out: torch.Tensor = matmul_4bit(input, weight, quant_state=weight.quant_state, bias=bias)  # type: ignore[attr-defined]
    return out
