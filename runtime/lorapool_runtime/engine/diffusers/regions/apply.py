"""Applying adapters where their masks are white, for one run: y = W x + m · s B (A x).

A hook on each module adds its part to what the module makes, so whatever else is active in it stays as it is. Where a
module's output is a picture or a sequence of its cells, m is the mask there. Keys and values of a UNet's
cross-attention are of words, and have no place: the attention itself is done once more with them, and what that makes
of it counts where the mask is white. What else has no place (time embeddings, the words of a joint attention, text
encoders) counts by the share of the mask that is white.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import torch
from torch import nn

from lorapool_api.wire.weighting.scale import Weighting
from lorapool_runtime.engine.diffusers.families.traits import Places
from lorapool_runtime.engine.diffusers.layers.active import Branch
from lorapool_runtime.engine.diffusers.layers.adapted import branch_of
from lorapool_runtime.engine.diffusers.layers.delta import ModuleDelta
from lorapool_runtime.engine.diffusers.layers.switchboard import DeviceAdapter
from lorapool_runtime.engine.diffusers.regions.mask import Mask
from lorapool_runtime.errors import RecipeError

# A UNet's keys and values of words: the attention, and its part.
_WORDS: Final = re.compile(r"(.*\.attn2)\.to_[kv]")
# Modules of joint attention's transformers that read and make words alone.
_OF_WORDS: Final = re.compile(
    r"(^|\.)(add_[qkv]_proj|to_add_out|ff_context|norm1_context|context_embedder|txt_(mlp|mod|in))(\.|$)"
)


class Region(NamedTuple):
    """An adapter on the device, its strength in the request, and where it counts."""

    adapter: DeviceAdapter
    scale: float | Weighting
    mask: Mask


@dataclass
class _Apart:
    """What an attention does with the keys and values of one adapter, where that counts. `is_on`: it is doing it."""

    mask: Mask
    is_on: bool = False


def check_masked(regions: Sequence[Region]) -> None:
    """Raises: RecipeError for an adapter that cannot be had in a part of the picture."""
    for region in regions:
        for delta in region.adapter.deltas:
            if not delta.mixes:
                raise RecipeError(
                    f"an adapter of the kind {delta.network} (at {delta.target}) cannot be masked: only LoRA can"
                )


@contextmanager
def applied(denoiser: Any, regions: Sequence[Region]) -> Iterator[None]:
    """The denoiser's modules add what these say, as long as this lasts."""
    apart: dict[str, list[_Apart]] = {}
    with ExitStack() as undo:
        for region in regions:
            own: dict[str, _Apart] = {}
            for delta in region.adapter.deltas:
                if delta.target.is_text or delta.target.is_left_out(region.scale):
                    continue
                branch = _branch(delta, delta.target.strength(region.scale))
                module = delta.target.module
                found = _WORDS.fullmatch(delta.target.name) if region.mask.places is Places.GRID else None
                if found is not None:
                    part = own.setdefault(found[1], _Apart(region.mask))
                    hook = _add_if(part, branch)
                else:
                    mask = _share_of(region.mask) if _OF_WORDS.search(delta.target.name) else region.mask.over
                    hook = _add_where(mask, branch)
                undo.callback(module.register_forward_hook(hook).remove)
            for name, part in own.items():
                apart.setdefault(name, []).append(part)
        for name, parts in apart.items():
            undo.enter_context(_done_again(denoiser.get_submodule(name), parts))
        yield


Hook = Callable[[Any, tuple[torch.Tensor, ...], torch.Tensor], torch.Tensor]


def _branch(delta: ModuleDelta, strength: float) -> Branch:
    return branch_of(delta.target.module, delta.parts["down"], delta.parts["up"], delta.scale * strength)


def _change(module: Any, input: torch.Tensor, branch: Branch, output: torch.Tensor) -> torch.Tensor:
    change = torch.zeros_like(output, memory_format=torch.contiguous_format)
    module.add_branch(input, branch, change)
    return change


def _add_where(mask: Callable[[torch.Tensor], torch.Tensor], branch: Branch) -> Hook:
    def hook(module: Any, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> torch.Tensor:
        return output.addcmul(_change(module, inputs[0], branch, output), mask(output))

    return hook


def _add_if(part: _Apart, branch: Branch) -> Hook:
    def hook(module: Any, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> torch.Tensor:
        return output + _change(module, inputs[0], branch, output) if part.is_on else output

    return hook


def _share_of(mask: Mask) -> Callable[[torch.Tensor], torch.Tensor]:
    return lambda output: output.new_full((1,), mask.share)


@contextmanager
def _done_again(attention: Any, parts: Sequence[_Apart]) -> Iterator[None]:
    own = attention.processor
    attention.set_processor(_Again(own, parts))
    try:
        yield
    finally:
        attention.set_processor(own)


class _Again:
    """An attention processor: does the attention as it is, then with each adapter's keys and values.

    What comes after the attention is the same for each place by itself (a projection, a sum), so the difference of both
    may be weighed there.
    """

    def __init__(self, own: Any, parts: Sequence[_Apart]) -> None:
        self._own = own
        self._parts = parts

    def __call__(self, attention: nn.Module, hidden_states: torch.Tensor, **others: Any) -> torch.Tensor:
        out: torch.Tensor = self._own(attention, hidden_states, **others)
        total = out
        for part in self._parts:
            part.is_on = True
            try:
                changed: torch.Tensor = self._own(attention, hidden_states, **others)
            finally:
                part.is_on = False
            total = total.addcmul(changed.sub_(out), part.mask.over(out))
        return total
