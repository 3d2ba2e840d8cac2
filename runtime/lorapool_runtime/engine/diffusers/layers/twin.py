"""A model on the base's own parameters but for weights that adapters change: those are its own, at fixed addresses."""

import copy
from typing import NamedTuple

import torch
from torch import nn

from lorapool_runtime.engine.diffusers.layers.active import Merged
from lorapool_runtime.engine.diffusers.layers.adapted import Adapted, AdaptedLinear


class FixedWeights(NamedTuple):
    """A module of the base, and the weight and bias that stand for its own in the twin."""

    module: Adapted
    fixed: Merged


class Twin(NamedTuple):
    """What a graph is made of: modules that know nothing of adapters, and the parameters that a switch writes."""

    model: nn.Module
    weights: tuple[FixedWeights, ...]


def twin_of(model: nn.Module) -> Twin | None:
    """The model's twin, its weights those of the base; None where an adapted weight is no plain tensor of numbers.

    It takes memory for the weights and biases of the adapted modules once more. All else is shared: a copy of the tree
    of modules alone.

    Raises: torch.OutOfMemoryError.
    """
    adapted = [module for module in model.modules() if isinstance(module, Adapted)]
    if any(type(m.weight) is not nn.Parameter or not m.weight.is_floating_point() for m in adapted):
        return None
    shared = {id(tensor): tensor for tensor in (*model.parameters(), *model.buffers())}
    twin = copy.deepcopy(model, shared)
    # What inference mode makes has no version counter, and a graph would not take it for the same as a parameter.
    with torch.inference_mode(False):
        weights = tuple(
            FixedWeights(ours, _own(ours, theirs))
            for ours, theirs in zip(model.modules(), twin.modules(), strict=True)
            if isinstance(ours, Adapted)
        )
    return Twin(twin, weights)


def _own(ours: Adapted, theirs: nn.Module) -> Merged:
    """Make of the copy a plain module with parameters of its own."""
    theirs.__class__ = nn.Linear if isinstance(ours, AdaptedLinear) else nn.Conv2d
    theirs.__dict__.pop("active", None)
    own = {name: nn.Parameter(_copy(p.detach()), requires_grad=False) for name, p in ours.named_parameters()}
    theirs._parameters.update(own)
    return Merged(own["weight"], own.get("bias"))


def _copy(tensor: torch.Tensor) -> torch.Tensor:
    """Kernels of convolutions as graphs want them: in another layout each forward would bring them into this one."""
    return tensor.clone(memory_format=torch.channels_last if tensor.dim() == 4 else torch.preserve_format)
