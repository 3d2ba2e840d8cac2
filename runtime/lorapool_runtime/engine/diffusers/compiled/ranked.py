"""A twin that adds low-rank pairs to each row, from memory at fixed addresses: a switch writes it."""

import copy
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import torch
from torch import nn
from torch.nn import functional

from lorapool_runtime.engine.diffusers.layers.active import PerRow, RowSlice, Unmerged
from lorapool_runtime.engine.diffusers.layers.adapted import Adapted, AdaptedLinear

# What modules add: the pairs of a stack for all rows, or of several stacks for a row each.
Additions = Sequence[tuple[Adapted, Unmerged | PerRow]]


class RankedKind(NamedTuple):
    """What a twin has room for. Each kind has a graph of its own.

    Attributes:
        ranks: of all pairs of one module together.
        rows: of the denoiser's input.
        convolutions: whether pairs of convolutions are added too; seldom wanted, and never free.
    """

    ranks: int
    rows: int
    convolutions: bool


class RankedLinear(nn.Linear):
    """y = W x + bias + B (s · A x), s a number for each row and rank; where it is 0, an infinity counts for nothing."""

    downs: torch.Tensor
    ups: torch.Tensor
    scales: torch.Tensor
    number: int

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        low = functional.linear(input, self.downs)
        scales = self.scales[self.number].view(-1, *(1,) * (low.dim() - 2), low.shape[-1])
        low = torch.where(scales == 0, 0.0, low * scales).to(low.dtype)
        return functional.linear(input, self.weight, self.bias) + functional.linear(low, self.ups)


class RankedConv2d(nn.Conv2d):
    """The same for a convolution: A moves as its kernel does."""

    downs: torch.Tensor
    ups: torch.Tensor
    scales: torch.Tensor
    number: int

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        low = self._conv_forward(input, self.downs, None)
        scales = self.scales[self.number][..., None, None]
        low = torch.where(scales == 0, 0.0, low * scales).to(low.dtype)
        out: torch.Tensor = self._conv_forward(input, self.weight, self.bias)
        return out + functional.conv2d(low, self.ups[..., None, None])


class RankedTwin:
    """A model on the base's own parameters, with room for pairs.

    Attributes:
        size_bytes: memory of its own.
    """

    def __init__(self, model: nn.Module, kind: RankedKind) -> None:
        """What the model's modules apply at the moment must not change meanwhile. Raises: torch.OutOfMemoryError."""
        shared: dict[int, Any] = {id(tensor): tensor for tensor in (*model.parameters(), *model.buffers())}
        shared.update((id(m.active), m.active) for m in model.modules() if isinstance(m, Adapted))
        self.model = copy.deepcopy(model, shared)
        self.model.__dict__.pop("forward", None)
        self._buffers: dict[int, RankedLinear | RankedConv2d] = {}
        # What inference mode makes has no version counter, and a graph would not take it for a buffer of a module.
        with torch.inference_mode(False):
            pairs = [
                (ours, theirs)
                for ours, theirs in zip(model.modules(), self.model.modules(), strict=True)
                if isinstance(ours, Adapted)
            ]
            wanted = sum(_is_ranked(ours, kind) for ours, _ in pairs)
            device = next(model.parameters()).device
            self._scales = _fixed(torch.zeros(wanted, kind.rows, kind.ranks, device=device))
            for ours, theirs in pairs:
                theirs.__dict__.pop("active", None)
                if _is_ranked(ours, kind):
                    self._add(ours, theirs, kind.ranks)
                else:
                    theirs.__class__ = nn.Linear if isinstance(ours, AdaptedLinear) else nn.Conv2d
        own = [t for module in self._buffers.values() for t in (module.downs, module.ups)]
        self.size_bytes = sum(t.nbytes for t in (self._scales, *own))

    @torch.inference_mode()
    def write(self, additions: Additions) -> None:
        """What is added from now on; all of it is of this twin's kind. Nothing that a graph depends on changes.

        What the buffers of other modules hold stays there, and counts for nothing.
        """
        scales = torch.zeros(self._scales.shape)
        for module, added in additions:
            into, begin = self._buffers[id(module)], 0
            pictures = added.pictures if isinstance(added, PerRow) else 1
            of_rows = scales[into.number].view(-1, pictures, scales.shape[-1])
            for start, stop, branches in _slices(added):
                for down, up, scale in branches:
                    as_linear = isinstance(into, RankedLinear)
                    down, up = (down.t(), up.t()) if as_linear else (down, up)
                    end = begin + len(down)
                    into.downs[begin:end] = down
                    into.ups[:, begin:end] = up
                    of_rows[:, start:stop, begin:end] = scale
                    begin = end
        self._scales.copy_(scales)

    def addresses(self) -> list[int]:
        """Of all that a switch writes."""
        return [t.data_ptr() for m in self._buffers.values() for t in (m.downs, m.ups, m.scales)]

    def _add(self, ours: Adapted, theirs: nn.Module, ranks: int) -> None:
        theirs.__class__ = RankedLinear if isinstance(ours, AdaptedLinear) else RankedConv2d
        if not isinstance(theirs, RankedLinear | RankedConv2d):
            raise TypeError(f"{type(theirs).__name__} has no room for pairs")
        weight = ours.weight
        theirs.register_buffer("downs", _fixed(weight.new_zeros(ranks, *weight.shape[1:])))
        theirs.register_buffer("ups", _fixed(weight.new_zeros(len(weight), ranks)))
        theirs.register_buffer("scales", self._scales)
        theirs.number = len(self._buffers)
        self._buffers[id(ours)] = theirs


def kind_of(additions: Additions, rows: int, buckets: Sequence[int]) -> RankedKind | None:
    """The smallest kind that has room; None where no bucket has, or pairs are not all that is added."""
    ranks, convolutions = 0, False
    for module, added in additions:
        if isinstance(added, Unmerged) and added.magnitude_ratio is not None:
            return None
        if rows % (added.pictures if isinstance(added, PerRow) else 1):
            return None
        is_linear = isinstance(module, AdaptedLinear)
        convolutions |= not is_linear
        of_module = [branch for _, _, branches in _slices(added) for branch in branches]
        ranks = max(ranks, sum(b.down.shape[1] if is_linear else len(b.down) for b in of_module))
    bucket = next((bucket for bucket in buckets if bucket >= ranks > 0), None)
    return None if bucket is None else RankedKind(bucket, rows, convolutions)


def _slices(added: Unmerged | PerRow) -> Iterator[RowSlice]:
    if isinstance(added, PerRow):
        yield from added.rows
    else:
        yield RowSlice(0, 1, added.branches)


def _is_ranked(module: Adapted, kind: RankedKind) -> bool:
    return isinstance(module, AdaptedLinear) or kind.convolutions


def _fixed(tensor: torch.Tensor) -> torch.Tensor:
    """For graphs of a device, which are told what never moves."""
    torch._dynamo.mark_static_address(tensor)
    return tensor
