"""Linear and Conv2d that adapters can change.

The base's parameters are never written. A module of the base becomes one of these by a change of its class: its
parameters, its name and everybody's references to it stay what they are. Without an adapter a forward costs one look
at an attribute more than the base's own.
"""

from collections.abc import Sequence
from typing import Any, Final

import torch
from torch import nn
from torch.nn import functional

from lorapool_runtime.engine.diffusers.layers.active import (
    Active,
    Branch,
    Merged,
    OthersRanks,
    PerRow,
    Stacked,
    Unmerged,
)
from lorapool_runtime.engine.diffusers.packed.weights import dtype_of, has_state, product

# On the host for every device: a kernel takes it as an argument, and a number would become a tensor at each call.
_ZERO: Final = torch.zeros(())


class AdaptedLinear(nn.Linear):
    """A Linear that applies what is active in it.

    Hundreds of them are in one forward, and a device may wait for the host to launch them: parameters are read past
    `nn.Module.__getattr__`, what is usual is added here rather than by a call, and to rows as one matrix. `len` of a
    tensor is a function of Python's, its shape is not.
    """

    active: Active = None

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        own: Any = self._parameters
        active, weight, bias = self.active, own["weight"], own["bias"]
        if active is None:
            return functional.linear(input, weight, bias)
        if isinstance(active, Merged):
            return functional.linear(input, active.weight, bias if active.bias is None else active.bias)
        if isinstance(active, PerRow):
            shared = active.shared
            if shared is None:
                return _sum_rows(self, active, input, functional.linear(input, weight, bias))
            (down, up, scale), others = shared
            shape = input.shape
            rows = input.reshape(-1, shape[-1])
            out = functional.linear(rows, weight, bias)
            low = rows.mm(down).masked_fill_(others[shape[0], rows.shape[0]], _ZERO)
        else:
            branches, ratio = active
            if ratio is not None:
                return _sum_dora(self, branches, ratio, input, functional.linear(input, weight))
            ((down, up, scale),) = branches
            shape = input.shape
            rows = input.reshape(-1, shape[-1])
            out = functional.linear(rows, weight, bias)
            low = rows.mm(down)
        out.addmm_(low, up, alpha=scale)
        return out.view(shape[0], shape[1], -1) if len(shape) == 3 else out.view(*shape[:-1], -1)

    def add_branch(
        self, input: torch.Tensor, branch: Branch, out: torch.Tensor, others: OthersRanks | None = None
    ) -> None:
        """out += s · B (A x): in place, and B (A x) never stands alone where its dtype may not hold it.

        Args:
            others: which ranks count for nothing, row by row.
        """
        down, up, scale = branch
        low = input.flatten(0, -2).mm(down)
        if others is not None:
            low.masked_fill_(others[len(input), len(low)], _ZERO)
        out.view(-1, out.shape[-1]).addmm_(low, up, alpha=scale)

    def add_stacked(self, input: torch.Tensor, stacked: Stacked, out: torch.Tensor) -> None:
        """To each picture its own; (pictures, ..., in) and (pictures, ..., out)."""
        downs, ups, scale, scales = stacked
        if input.dim() != 3:
            input, out = input.reshape(len(input), -1, input.shape[-1]), out.view(len(out), -1, out.shape[-1])
        low = input.bmm(downs)
        if scales is not None:
            low.mul_(scales)
        out.baddbmm_(low, ups, alpha=scale)


class AdaptedPackedLinear(AdaptedLinear):
    """One whose weight torch cannot multiply with: its library does."""

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        active = self.active
        if isinstance(active, Merged):
            return functional.linear(input, active.weight, self.bias if active.bias is None else active.bias)
        if isinstance(active, Unmerged) and active.magnitude_ratio is not None:
            out = product(input, self.weight, None)
            return _sum_dora(self, active.branches, active.magnitude_ratio, input, out)
        out = product(input, self.weight, self.bias)
        if isinstance(active, PerRow):
            return _sum_rows(self, active, input, out)
        for branch in active.branches if active is not None else ():
            self.add_branch(input, branch, out)
        return out


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
        branches, ratio = active
        if ratio is not None:
            return _sum_dora(self, branches, ratio, input, self._convolve(input, self.weight, None))
        out = self._convolve(input, self.weight, self.bias)
        for branch in branches:
            self.add_branch(input, branch, out)
        return out

    def add_branch(
        self, input: torch.Tensor, branch: Branch, out: torch.Tensor, others: OthersRanks | None = None
    ) -> None:
        """As for a Linear: the 1 x 1 kernel `up` is a product for each picture."""
        down, up, scale = branch
        low = self._convolve(input, down, None)
        if others is not None:
            low.masked_fill_(others[len(low), len(low)][..., None, None], _ZERO)
        if out.is_contiguous():
            out.flatten(2).baddbmm_(up.expand(len(out), -1, -1), low.flatten(2), alpha=scale)
        else:
            out.add_(functional.conv2d(low, up[..., None, None]), alpha=scale)

    def _convolve(self, input: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
        out: torch.Tensor = self._conv_forward(input, weight, bias)
        return out


Adapted = AdaptedLinear | AdaptedConv2d


def _sum_dora(
    module: Adapted, branches: Sequence[Branch], ratio: torch.Tensor, input: torch.Tensor, out: torch.Tensor
) -> torch.Tensor:
    """Add the branches, and the bias, to W x, which is ours to write into. The ratio is of the weight alone."""
    first, *rest = branches
    module.add_branch(input, first, out)
    out.mul_(ratio)
    if module.bias is not None:
        out.add_(module.bias.view(-1, *(1,) * (ratio.dim() - 1)))
    for branch in rest:
        module.add_branch(input, branch, out)
    return out


def _sum_rows(module: Adapted, active: PerRow, input: torch.Tensor, out: torch.Tensor) -> torch.Tensor:
    """Add to each picture's rows what its branches say. Raises: ValueError for an input of another batch."""
    if active.shared is not None:
        module.add_branch(input, active.shared.branch, out, active.shared.others)
        return out
    copies, rest = divmod(len(input), active.pictures)
    if rest:
        raise ValueError(f"{len(input)} rows are no batch of {active.pictures} pictures")
    for pictures, outputs in zip(input.chunk(copies), out.chunk(copies), strict=True):
        if active.stacked is not None and isinstance(module, AdaptedLinear):
            module.add_stacked(pictures, active.stacked, outputs)
            continue
        for start, stop, branches in active.rows:
            for branch in branches:
                module.add_branch(pictures[start:stop], branch, outputs[start:stop])
    return out


def branch_of(module: Adapted, down: torch.Tensor, up: torch.Tensor, scale: float) -> Branch:
    """The pair for that module; `down` is (rank, in, ...), `up` (out, rank) or (out, rank, 1, 1)."""
    dtype = dtype_of(module.weight)
    if down.dtype is not dtype:  # a module that its library keeps in another dtype than the base
        down, up = down.to(dtype), up.to(dtype)
    return Branch(down.t(), up.t(), scale) if up.dim() == 2 else Branch(down, up.flatten(1), scale)


def adapt(module: nn.Module) -> Adapted | None:
    """Make the module one that adapters can change; None where it is none.

    Subclasses are left alone: they compute something else. So are grouped convolutions.
    """
    if has_state(module):
        module.__class__ = AdaptedPackedLinear
    elif type(module) is nn.Linear:
        module.__class__ = AdaptedLinear
    elif type(module) is nn.Conv2d and module.groups == 1:
        module.__class__ = AdaptedConv2d
    return module if isinstance(module, Adapted) else None


def activate(module: Adapted, active: Active) -> None:
    """Set what the module does instead of the bare base; None restores it.

    Past `nn.Module.__setattr__`, which looks for parameters and would be most of the cost of a switch.
    """
    module.__dict__["active"] = active
