"""Linear and Conv2d that adapters can change.

The base's parameters are never written. A module of the base becomes one of these by a change of its class: its
parameters, its name and everybody's references to it stay what they are. Without an adapter a forward costs one look
at an attribute more than the base's own.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import nn
from torch.nn import functional


class Branch(NamedTuple):
    """A low-rank pair that one module applies, in the module's dtype, as `branch_of` makes it.

    Attributes:
        down: the module's own shape but for (rank) outputs.
        up: as the product takes it: (rank, out) for a Linear, (out, rank) for a Conv2d.
        scale: alpha / rank and the strength of the request.
    """

    down: torch.Tensor
    up: torch.Tensor
    scale: float


class Unmerged(NamedTuple):
    """Unmerged: y = g · (W x + s · B A x) + bias + sum of s_i · B_i (A_i x).

    `magnitude_ratio` is DoRA's g, one number for each output, and belongs to the first branch; None: no DoRA.
    """

    branches: tuple[Branch, ...]
    magnitude_ratio: torch.Tensor | None = None


class Merged(NamedTuple):
    """A weight that stands for the base's own, and a bias where an adapter changes that too; they lie elsewhere."""

    weight: torch.Tensor
    bias: torch.Tensor | None = None


class RowSlice(NamedTuple):
    """The branches of the pictures from `start` up to `stop` of a batch."""

    start: int
    stop: int
    branches: tuple[Branch, ...]


class Stacked(NamedTuple):
    """The branches of all pictures side by side, so that a few products do for all of them. What is missing is zero.

    Attributes:
        downs: (pictures, in, ranks).
        ups: (pictures, ranks, out).
        scales: (pictures, 1, ranks).
    """

    downs: torch.Tensor
    ups: torch.Tensor
    scales: torch.Tensor


class PerRow(NamedTuple):
    """Unmerged, each picture of a batch with branches of its own, or none.

    Attributes:
        pictures: how many there are; a denoiser's input holds them once, or several times one after the other (for
            classifier-free guidance, first all with the negative prompt).
        stacked: what `rows` say, for a Linear.
    """

    pictures: int
    rows: tuple[RowSlice, ...]
    stacked: Stacked | None = None


Active = Unmerged | PerRow | Merged | None


class AdaptedLinear(nn.Linear):
    """A Linear that applies what is active in it."""

    active: Active = None

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        active = self.active
        if active is None:
            return functional.linear(input, self.weight, self.bias)
        if isinstance(active, Merged):
            return functional.linear(input, active.weight, self.bias if active.bias is None else active.bias)
        if isinstance(active, PerRow):
            return _sum_rows(self, active, input, functional.linear(input, self.weight, self.bias))
        return _sum(self, active, input, functional.linear(input, self.weight, _early_bias(self, active)))

    def add_branch(self, input: torch.Tensor, branch: Branch, out: torch.Tensor) -> None:
        """out += s · B (A x): in place, and B (A x) never stands alone where its dtype may not hold it."""
        down, up, scale = branch
        low = functional.linear(input.flatten(0, -2), down)
        out.view(-1, out.shape[-1]).addmm_(low, up, alpha=scale)

    def add_stacked(self, input: torch.Tensor, stacked: Stacked, out: torch.Tensor) -> None:
        """To each picture its own; (pictures, ..., in) and (pictures, ..., out)."""
        low = torch.bmm(input.flatten(1, -2), stacked.downs).mul_(stacked.scales)
        out.view(len(out), -1, out.shape[-1]).baddbmm_(low, stacked.ups)


class AdaptedConv2d(nn.Conv2d):
    """A convolution that applies what is active in it; a branch's `down` moves as the base's kernel does."""

    active: Active = None

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        active = self.active
        if active is None:
            return self._convolve(input, self.weight, self.bias)
        if isinstance(active, Merged):
            return self._convolve(input, active.weight, self.bias if active.bias is None else active.bias)
        if isinstance(active, PerRow):
            return _sum_rows(self, active, input, self._convolve(input, self.weight, self.bias))
        return _sum(self, active, input, self._convolve(input, self.weight, _early_bias(self, active)))

    def add_branch(self, input: torch.Tensor, branch: Branch, out: torch.Tensor) -> None:
        """As for a Linear: the 1 x 1 kernel `up` is a product for each picture."""
        down, up, scale = branch
        low = self._convolve(input, down, None)
        if out.is_contiguous():
            out.flatten(2).baddbmm_(up.expand(len(out), -1, -1), low.flatten(2), alpha=scale)
        else:
            out.add_(functional.conv2d(low, up[..., None, None]), alpha=scale)

    def _convolve(self, input: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
        out: torch.Tensor = self._conv_forward(input, weight, bias)
        return out


Adapted = AdaptedLinear | AdaptedConv2d


def _early_bias(module: Adapted, active: Unmerged) -> torch.Tensor | None:
    """The ratio is of the weight, not of the bias: with one, the bias is added after it."""
    return module.bias if active.magnitude_ratio is None else None


def _sum(module: Adapted, active: Unmerged, input: torch.Tensor, out: torch.Tensor) -> torch.Tensor:
    """Add the branches to the base's output, which is ours to write into."""
    branches = active.branches
    if active.magnitude_ratio is not None:
        first, *rest = branches
        module.add_branch(input, first, out)
        out.mul_(active.magnitude_ratio)
        if module.bias is not None:
            out.add_(module.bias.view(-1, *(1,) * (active.magnitude_ratio.dim() - 1)))
        branches = tuple(rest)
    for branch in branches:
        module.add_branch(input, branch, out)
    return out


def _sum_rows(module: Adapted, active: PerRow, input: torch.Tensor, out: torch.Tensor) -> torch.Tensor:
    """Add to each picture's rows what its branches say. Raises: ValueError for an input of another batch."""
    copies, rest = divmod(input.shape[0], active.pictures)
    if rest:
        raise ValueError(f"{input.shape[0]} rows are no batch of {active.pictures} pictures")
    pictures = input.view(copies, active.pictures, *input.shape[1:])
    outputs = out.view(copies, active.pictures, *out.shape[1:])
    if active.stacked is not None and isinstance(module, AdaptedLinear):
        for copy in range(copies):
            module.add_stacked(pictures[copy], active.stacked, outputs[copy])
        return out
    for start, stop, branches in active.rows:
        for branch in branches:
            for copy in range(copies):
                module.add_branch(pictures[copy, start:stop], branch, outputs[copy, start:stop])
    return out


def branch_of(module: Adapted, down: torch.Tensor, up: torch.Tensor, scale: float) -> Branch:
    """The pair for that module; `down` is (rank, in, ...), `up` (out, rank) or (out, rank, 1, 1)."""
    dtype = module.weight.dtype
    if down.dtype is not dtype:
        # A module that its library keeps in another dtype than the base.
        down, up = down.to(dtype), up.to(dtype)
    return Branch(down, up.t() if up.dim() == 2 else up.flatten(1), scale)


def stacked_of(module: Adapted, pictures: int, rows: Sequence[RowSlice]) -> Stacked | None:
    """The branches of a Linear side by side; None for a convolution, or where one product after the other does as
    well."""
    if not isinstance(module, AdaptedLinear) or pictures == 1:
        return None
    ranks = max(sum(len(branch.down) for branch in row.branches) for row in rows)
    weight = module.weight
    outputs, inputs = weight.shape
    downs, ups = weight.new_zeros(pictures, inputs, ranks), weight.new_zeros(pictures, ranks, outputs)
    scales: list[list[float]] = [[0.0] * ranks for _ in range(pictures)]
    for start, stop, branches in rows:
        begin = 0
        for down, up, scale in branches:
            end = begin + len(down)
            downs[start:stop, :, begin:end] = down.t()
            ups[start:stop, begin:end] = up
            for picture in scales[start:stop]:
                picture[begin:end] = [scale] * (end - begin)
            begin = end
    # In float32: a strength that is rounded to bfloat16 is another strength.
    return Stacked(downs, ups, weight.new_tensor(scales, dtype=torch.float32).unsqueeze(1))


def adapt(module: nn.Module) -> Adapted | None:
    """Make the module one that adapters can change; None where it is none.

    Subclasses are left alone: they compute something else. So are grouped convolutions.
    """
    if type(module) is nn.Linear:
        module.__class__ = AdaptedLinear
    elif type(module) is nn.Conv2d and module.groups == 1:
        module.__class__ = AdaptedConv2d
    return module if isinstance(module, Adapted) else None


def activate(module: Adapted, active: Active) -> None:
    """Set what the module does instead of the bare base; None restores it.

    Past `nn.Module.__setattr__`, which looks for parameters and would be most of the cost of a switch.
    """
    module.__dict__["active"] = active
