"""Low-rank pairs of a batch side by side: a few products for all of its pictures."""

from collections.abc import Sequence

import torch

from lorapool_runtime.engine.diffusers.layers.adapted import Adapted, AdaptedLinear, RowSlice, Stacked
from lorapool_runtime.engine.diffusers.packed.weights import shape_of


def stacked_of(module: Adapted, pictures: int, rows: Sequence[RowSlice]) -> Stacked | None:
    """The branches of a Linear side by side; None for a convolution, or where one product after the other does as
    well."""
    if not isinstance(module, AdaptedLinear) or pictures == 1:
        return None
    ranks = max(sum(len(branch.up) for branch in row.branches) for row in rows)
    outputs, inputs = shape_of(module)
    like = rows[0].branches[0].down  # a plain tensor on the device, whatever the weight is
    downs, ups = like.new_zeros(pictures, inputs, ranks), like.new_zeros(pictures, ranks, outputs)
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
