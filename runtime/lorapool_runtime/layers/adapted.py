"""Linear and Conv2d with places for adapters.

The base's parameters are never written. A module of the base becomes one of these by a change of its class: its
parameters, its name and everybody's references to it stay what they are. Without an adapter a forward costs one look
at an attribute more than the base's own.
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


class Added(NamedTuple):
    """Unmerged: y = g · (W x + s · B A x) + bias + sum of s_i · B_i (A_i x).

    `gain` is DoRA's g, one number for each output, and belongs to the first branch; None where no adapter has one.
    """

    branches: tuple[Branch, ...]
    gain: torch.Tensor | None = None


class Merged(NamedTuple):
    """A weight that stands for the base's own, and a bias where an adapter changes that too; they lie elsewhere."""

    weight: torch.Tensor
    bias: torch.Tensor | None = None


class Rows(NamedTuple):
    """The branches of the pictures from `start` up to `stop` of a batch."""

    start: int
    stop: int
    branches: tuple[Branch, ...]


class Mixed(NamedTuple):
    """Unmerged, each picture of a batch with branches of its own, or none.

    `pictures` is how many there are; a denoiser's input holds them once, or several times one after the other (for
    classifier-free guidance, first all with the negative prompt).
    """

    pictures: int
    rows: tuple[Rows, ...]


InForce = Added | Mixed | Merged | None


class AdaptedLinear(nn.Linear):
    """`down` is (rank, in), `up` (out, rank)."""

    in_force: InForce = None

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        change = self.in_force
        if change is None:
            return functional.linear(input, self.weight, self.bias)
        if isinstance(change, Merged):
            return functional.linear(input, change.weight, self.bias if change.bias is None else change.bias)
        if isinstance(change, Mixed):
            return _sum_rows(self, change, input, functional.linear(input, self.weight, self.bias))
        return _sum(self, change, input, functional.linear(input, self.weight, _early_bias(self, change)))

    def low_rank(self, input: torch.Tensor, branch: Branch) -> torch.Tensor:
        return functional.linear(functional.linear(input, branch.down), branch.up)


class AdaptedConv2d(nn.Conv2d):
    """`down` is (rank, in, height, width) and moves as the base's kernel does; `up` is (out, rank, 1, 1)."""

    in_force: InForce = None

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        change = self.in_force
        if change is None:
            return self._convolve(input, self.weight, self.bias)
        if isinstance(change, Merged):
            return self._convolve(input, change.weight, self.bias if change.bias is None else change.bias)
        if isinstance(change, Mixed):
            return _sum_rows(self, change, input, self._convolve(input, self.weight, self.bias))
        return _sum(self, change, input, self._convolve(input, self.weight, _early_bias(self, change)))

    def low_rank(self, input: torch.Tensor, branch: Branch) -> torch.Tensor:
        return functional.conv2d(self._convolve(input, branch.down, None), branch.up)

    def _convolve(self, input: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
        out: torch.Tensor = self._conv_forward(input, weight, bias)
        return out


Adapted = AdaptedLinear | AdaptedConv2d


def _early_bias(module: Adapted, change: Added) -> torch.Tensor | None:
    """A gain is of the weight, not of the bias: with one, the bias is added after it."""
    return module.bias if change.gain is None else None


def _sum(module: Adapted, change: Added, input: torch.Tensor, out: torch.Tensor) -> torch.Tensor:
    """Add the branches to the base's output, which is ours to write into."""
    branches = change.branches
    if change.gain is not None:
        first, *rest = branches
        out.add_(module.low_rank(input, first), alpha=first.scale).mul_(change.gain)
        if module.bias is not None:
            out.add_(module.bias.view(-1, *(1,) * (change.gain.dim() - 1)))
        branches = tuple(rest)
    for branch in branches:
        out.add_(module.low_rank(input, branch), alpha=branch.scale)
    return out


def _sum_rows(module: Adapted, change: Mixed, input: torch.Tensor, out: torch.Tensor) -> torch.Tensor:
    """Add to each picture's rows what its branches say. Raises: ValueError for an input of another batch."""
    copies, rest = divmod(input.shape[0], change.pictures)
    if rest:
        raise ValueError(f"{input.shape[0]} rows are no batch of {change.pictures} pictures")
    pictures = input.view(copies, change.pictures, *input.shape[1:])
    outputs = out.view(copies, change.pictures, *out.shape[1:])
    for start, stop, branches in change.rows:
        part = pictures[:, start:stop].flatten(0, 1)
        for branch in branches:
            added = module.low_rank(part, branch)
            outputs[:, start:stop].add_(added.view(copies, stop - start, *added.shape[1:]), alpha=branch.scale)
    return out


def adapt(module: nn.Module) -> Adapted | None:
    """Give the module places for adapters, or return None where it is none that an adapter can change.

    Subclasses are left alone: they compute something else. So are grouped convolutions.
    """
    if type(module) is nn.Linear:
        module.__class__ = AdaptedLinear
    elif type(module) is nn.Conv2d and module.groups == 1:
        module.__class__ = AdaptedConv2d
    return module if isinstance(module, Adapted) else None


def put_in_force(module: Adapted, change: InForce) -> None:
    """Set what the module does instead of the bare base; None restores it.

    Past `nn.Module.__setattr__`, which looks for parameters and would be most of the cost of a switch.
    """
    module.__dict__["in_force"] = change
