"""The arguments of a denoiser as a graph tells them apart."""

from collections.abc import Hashable
from typing import Any

import torch
from torch.utils._pytree import tree_flatten, tree_map_only

Arguments = tuple[tuple[Any, ...], dict[str, Any]]


def shape_key(arguments: Arguments) -> Hashable | None:
    """Equal for arguments that one graph takes; None for arguments that no graph is made for."""
    leaves, spec = tree_flatten(arguments)
    found: list[Hashable] = [str(spec)]
    for leaf in leaves:
        if isinstance(leaf, torch.Tensor):
            # A tensor that inference mode made is another kind to a graph than one from outside.
            key = (tuple(leaf.shape), leaf.stride(), leaf.dtype, leaf.device, leaf.is_inference())
            found.append(key)
        elif leaf is None or isinstance(leaf, bool | int | float | str):
            found.append((type(leaf).__name__, leaf))
        else:
            return None
    return tuple(found)


def rows_of(arguments: Arguments) -> int:
    """Of the denoiser's input, its first argument that is no single number."""
    leaves, _ = tree_flatten(arguments)
    return next(len(leaf) for leaf in leaves if isinstance(leaf, torch.Tensor) and leaf.dim())


def kept(arguments: Arguments) -> Arguments:
    """Copies of the same kind, for later: those of a pipeline are written again by its next step."""
    copies: Arguments = tree_map_only(torch.Tensor, _copy, arguments)
    return copies


def _copy(tensor: torch.Tensor) -> torch.Tensor:
    with torch.inference_mode(tensor.is_inference()):
        copy = torch.empty_strided(tensor.shape, tensor.stride(), dtype=tensor.dtype, device=tensor.device)
        return copy.copy_(tensor)
