"""Low-rank pairs side by side: one pair for a stack, and few products for all pictures of a batch."""

from collections.abc import Sequence
from typing import Final

import torch

from lorapool_runtime.engine.diffusers.layers.active import (
    Branch,
    OthersRanks,
    PerRow,
    RowSlice,
    SharedBranch,
    Stacked,
)
from lorapool_runtime.engine.diffusers.layers.adapted import Adapted, AdaptedLinear
from lorapool_runtime.engine.diffusers.packed.weights import shape_of

# Ranks of all pictures that are one product: as many columns as a device's matrix units make at once, about.
MOST_SHARED: Final = 128
# How many times as strong as another one a pair may be, to stand in one pair with it: float16 has few small numbers.
_MOST_APART: Final = 64.0


class PairMaker:
    """Makes one pair of several for the modules of one plan, which have what is small in common."""

    def __init__(self) -> None:
        self.size_bytes = 0
        self._factors: dict[tuple[object, ...], torch.Tensor] = {}
        self._others: dict[tuple[object, ...], OthersRanks] = {}

    def side_by_side(self, branches: Sequence[Branch]) -> Branch:
        """One pair whose product is the sum of theirs, of memory of its own where there are several.

        Its scale is that of the strongest; what the others are weaker goes into their `up`, rounded once.
        """
        if len(branches) == 1:
            return branches[0]
        (first, *_), is_linear = branches, branches[0].down.dim() == 2
        # As they lie in memory: ranks first for `down`, last for `up`.
        downs = torch.cat([b.down.t() if is_linear else b.down for b in branches])
        ups = torch.cat([b.up.t() if is_linear else b.up for b in branches], dim=1)
        scale = max((b.scale for b in branches), key=abs)
        if any(b.scale != scale for b in branches):
            ratios = tuple((_ranks(b), b.scale / scale) for b in branches)
            ups = (ups * self._row_of(ratios, first.up.device)).to(ups.dtype)
        self.size_bytes += downs.nbytes + ups.nbytes
        return Branch(downs.t(), ups.t(), scale) if is_linear else Branch(downs, ups, scale)

    def per_row(self, module: Adapted, pictures: int, rows: Sequence[RowSlice]) -> PerRow:
        """What a module applies to a batch of so many pictures."""
        shared = self._shared(pictures, rows)
        stacked = None if shared is not None else self._stacked(module, pictures, rows)
        return PerRow(pictures, tuple(rows), shared, stacked)

    def _shared(self, pictures: int, rows: Sequence[RowSlice]) -> SharedBranch | None:
        """None where there are too many ranks, or strengths too far apart."""
        # Several requests may ask for the same stack.
        found: dict[tuple[tuple[int, float], ...], tuple[tuple[Branch, ...], list[int]]] = {}
        for start, stop, branches in rows:
            key = tuple((branch.down.data_ptr(), branch.scale) for branch in branches)
            found.setdefault(key, (branches, []))[1].extend(range(start, stop))
        all_of = [branch for branches, _ in found.values() for branch in branches]
        strengths = [abs(branch.scale) for branch in all_of if branch.scale] or [0.0]
        if sum(map(_ranks, all_of)) > MOST_SHARED or max(strengths) > _MOST_APART * min(strengths):
            return None
        branch = self.side_by_side(all_of)
        layout = tuple((sum(map(_ranks, branches)), tuple(own)) for branches, own in found.values())
        return SharedBranch(branch, self._others_of(layout, pictures, branch.up.device))

    def _others_of(
        self, layout: tuple[tuple[int, tuple[int, ...]], ...], pictures: int, device: torch.device
    ) -> OthersRanks:
        key = (layout, pictures, device)
        if key not in self._others:
            mask = torch.ones(pictures, 1, sum(ranks for ranks, _ in layout), dtype=torch.bool)
            begin = 0
            for ranks, own in layout:
                mask[list(own), :, begin : begin + ranks] = False
                begin += ranks
            self._others[key] = OthersRanks(mask.to(device))
        return self._others[key]

    def _row_of(self, ratios: tuple[tuple[int, float], ...], device: torch.device) -> torch.Tensor:
        """A number for each rank, in float32: one that is rounded to bfloat16 is another strength."""
        key = (ratios, device)
        if key not in self._factors:
            numbers = [ratio for ranks, ratio in ratios for _ in range(ranks)]
            self._factors[key] = torch.tensor(numbers, dtype=torch.float32, device=device)
        return self._factors[key]

    def _stacked(self, module: Adapted, pictures: int, rows: Sequence[RowSlice]) -> Stacked | None:
        """None for a convolution, or where one product after the other does as well."""
        if not isinstance(module, AdaptedLinear) or pictures == 1:
            return None
        ranks = max(sum(map(_ranks, row.branches)) for row in rows)
        outputs, inputs = shape_of(module)
        like = rows[0].branches[0].down  # a plain tensor on the device, whatever the weight is
        downs, ups = like.new_zeros(pictures, inputs, ranks), like.new_zeros(pictures, ranks, outputs)
        self.size_bytes += downs.nbytes + ups.nbytes
        scales: list[list[float]] = [[0.0] * ranks for _ in range(pictures)]
        for start, stop, branches in rows:
            begin = 0
            for down, up, scale in branches:
                end = begin + len(up)
                downs[start:stop, :, begin:end] = down
                ups[start:stop, begin:end] = up
                for picture in scales[start:stop]:
                    picture[begin:end] = [scale] * (end - begin)
                begin = end
        different = {branch.scale for row in rows for branch in row.branches}
        if len(different) == 1:
            # A factor of the product: a launch less for each module and step.
            return Stacked(downs, ups, different.pop())
        # In float32: a strength that is rounded to bfloat16 is another strength.
        return Stacked(downs, ups, 1.0, like.new_tensor(scales, dtype=torch.float32).unsqueeze(1))


def _ranks(branch: Branch) -> int:
    """Of a pair for a Linear or a Conv2d."""
    return branch.down.shape[1] if branch.down.dim() == 2 else len(branch.down)
