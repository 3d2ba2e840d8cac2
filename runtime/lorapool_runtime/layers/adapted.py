"""Linear and Conv2d with places for adapters: y = W x + sum of s_i · B_i (A_i x).

The base's parameters are never written. A module of the base becomes one of these by a change of its class: its
parameters, its name and everybody's references to it stay what they are.
"""

from typing import NamedTuple

import torch
from torch import nn
from torch.nn import functional


class Branch(NamedTuple):
    """A low-rank pair in force in one module; `scale` holds alpha / rank and the strength of the request."""

    down: torch.Tensor
    up: torch.Tensor
    scale: float


class AdaptedLinear(nn.Linear):
    """`down` is (rank, in), `up` (out, rank)."""

    branches: tuple[Branch, ...] = ()

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        out = functional.linear(input, self.weight, self.bias)
        for down, up, scale in self.branches:
            out = torch.add(out, functional.linear(functional.linear(input, down), up), alpha=scale)
        return out


class AdaptedConv2d(nn.Conv2d):
    """`down` is (rank, in, height, width) and moves as the base's kernel does; `up` is (out, rank, 1, 1)."""

    branches: tuple[Branch, ...] = ()

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self._conv_forward(input, self.weight, self.bias)
        for down, up, scale in self.branches:
            out = torch.add(out, functional.conv2d(self._conv_forward(input, down, None), up), alpha=scale)
        return out


Adapted = AdaptedLinear | AdaptedConv2d


def adapt(module: nn.Module) -> Adapted | None:
    """Give the module places for adapters, or return None where it is none that an adapter can change.

    Subclasses are left alone: they compute something else. So are grouped convolutions.
    """
    if type(module) is nn.Linear:
        module.__class__ = AdaptedLinear
    elif type(module) is nn.Conv2d and module.groups == 1:
        module.__class__ = AdaptedConv2d
    return module if isinstance(module, Adapted) else None


def put_in_force(module: Adapted, branches: tuple[Branch, ...]) -> None:
    """Set what the module adds to the base; () restores the bare base.

    Past `nn.Module.__setattr__`, which looks for parameters and would be most of the cost of a switch.
    """
    module.__dict__["branches"] = branches
