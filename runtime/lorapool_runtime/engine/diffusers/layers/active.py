"""What a module applies: low-rank pairs beside its weight, for all rows of a batch or for each picture, or a weight."""

from typing import NamedTuple

import torch


class Branch(NamedTuple):
    """A low-rank pair that one module applies, in the module's dtype, as `adapted.branch_of` makes it.

    Attributes:
        down: as the product takes it: (in, rank) for a Linear, (rank, in, height, width) for a Conv2d.
        up: likewise: (rank, out) for a Linear, (out, rank) for a Conv2d.
        scale: alpha / rank and the strength of the request.
    """

    down: torch.Tensor
    up: torch.Tensor
    scale: float


class Unmerged(NamedTuple):
    """Unmerged: y = g · (W x + s · B A x) + bias + sum of s_i · B_i (A_i x).

    `magnitude_ratio` is DoRA's g, one number for each output, and belongs to the first branch; None: no DoRA.
    `pairs.side_by_side` makes one branch of all others.
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


class OthersRanks(dict[tuple[int, int], torch.Tensor]):
    """Of the ranks of a `SharedBranch`, those that are not a picture's own.

    By the rows of an input and the positions of all of them together: (positions, ranks). Rows are the pictures once,
    or several times one after the other. What modules see is made for the first of them: a mask that a kernel need not
    stretch is one call of the host less for each, and a dictionary, unlike a method, is none of Python's.

    Raises: ValueError for rows of another batch.
    """

    def __init__(self, mask: torch.Tensor) -> None:
        """`mask`: bool, (pictures, 1, ranks), true where a rank is another's."""
        super().__init__()
        self._mask = mask

    def __missing__(self, key: tuple[int, int]) -> torch.Tensor:
        rows, positions = key
        pictures, _, ranks = self._mask.shape
        copies, rest = divmod(rows, pictures)
        if rest:
            raise ValueError(f"{rows} rows are no batch of {pictures} pictures")
        made = self._mask.expand(-1, positions // rows, -1).repeat(copies, 1, 1).view(positions, ranks)
        self[key] = made
        return made


class SharedBranch(NamedTuple):
    """The pairs of all pictures side by side in one, and which ranks of it are not a picture's own."""

    branch: Branch
    others: OthersRanks


class Stacked(NamedTuple):
    """The branches of all pictures one behind the other, a pair for each. What is missing is zero.

    Attributes:
        downs: (pictures, in, ranks).
        ups: (pictures, ranks, out).
        scale, scales: of all pairs, where it is the same; else 1, and (pictures, 1, ranks) in float32.
    """

    downs: torch.Tensor
    ups: torch.Tensor
    scale: float
    scales: torch.Tensor | None = None


class PerRow(NamedTuple):
    """Unmerged, each picture of a batch with branches of its own, or none.

    Attributes:
        pictures: a denoiser's input holds them once, or several times one after the other (for guidance).
        shared: what `rows` say, where ranks are few.
        stacked: what `rows` say, for a Linear where ranks are many.
    """

    pictures: int
    rows: tuple[RowSlice, ...]
    shared: SharedBranch | None = None
    stacked: Stacked | None = None


Active = Unmerged | PerRow | Merged | None
