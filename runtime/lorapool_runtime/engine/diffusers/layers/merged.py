"""Merged weights: buffers beside the base's, allocated once for a module and written again for each stack."""

import threading
from collections.abc import Callable, Collection, Iterable, Sequence
from math import prod

import torch

from lorapool_runtime.engine.diffusers.layers.active import Merged
from lorapool_runtime.engine.diffusers.layers.adapted import Adapted
from lorapool_runtime.engine.diffusers.layers.delta import ModuleDelta, merge_into, merged_bias
from lorapool_runtime.engine.diffusers.layers.twin import FixedWeights
from lorapool_runtime.engine.diffusers.packed.weights import dtype_of, plain, shape_of

# What a buffer holds: identities of the files that change this module, with their strengths.
Content = tuple[tuple[str, float], ...]


# Writes W' of W and the deltas, each with its strength, into the first tensor.
Merge = Callable[[torch.Tensor, torch.Tensor, Sequence[tuple[ModuleDelta, float]]], None]


class MergedWeights:
    """The buffers of one base. Only the engine's thread writes; a buffer's address never changes while it lives."""

    def __init__(self, merge: Merge = merge_into) -> None:
        self._merge = merge
        self._merged: dict[int, Merged] = {}
        self._content: dict[int, Content] = {}
        self._fixed: dict[int, FixedWeights] = {}
        self._lock = threading.Lock()

    def fix(self, weights: Iterable[FixedWeights]) -> None:
        """From now on these are the buffers of their modules, for ever. They hold the base's weights now."""
        self._fixed = {id(w.module): w for w in weights}
        with self._lock:
            self._merged.update((key, w.fixed) for key, w in self._fixed.items())
        self._content.update((key, ()) for key in self._fixed)

    def settle(self, touched: Collection[int]) -> None:
        """Write the base's weights into all fixed buffers but those of these modules, where they hold others."""
        for key, (module, fixed) in self._fixed.items():
            if key not in touched and self._content.get(key) != ():
                self._content.pop(key, None)
                fixed.weight.copy_(module.weight)
                _set_bias(fixed, module.bias)
                self._content[key] = ()

    @property
    def size_bytes(self) -> int:
        """Without fixed ones: those are there as long as the base is."""
        with self._lock:
            found = [m for key, m in self._merged.items() if key not in self._fixed]
        return sum(m.weight.numel() * m.weight.element_size() for m in found)

    def missing_bytes(self, modules: Iterable[Adapted]) -> int:
        """What buffers for these would take that are not there yet."""
        return sum(prod(shape_of(m)) * dtype_of(m.weight).itemsize for m in modules if id(m) not in self._merged)

    def of(self, module: Adapted, content: Content, deltas: Sequence[tuple[ModuleDelta, float]]) -> Merged:
        """The module's buffer with W' of these deltas in it; nothing is computed where it holds that already.

        Raises:
            torch.OutOfMemoryError: no room for the buffer, or for W' in float32.
        """
        key, device = id(module), deltas[0][0].device
        found = self._merged.get(key)
        if found is None:
            found = Merged(torch.empty_like(plain(module.weight), device=device))
            with self._lock:
                self._merged[key] = found
        if self._content.get(key) != content:
            # Half-written is nobody's: what it holds is said only when it is whole.
            self._content.pop(key, None)
            self._merge(found.weight, plain(module.weight, device), deltas)
            if key in self._fixed:
                moved = merged_bias(module.bias, deltas)
                _set_bias(found, module.bias if moved is None else moved)
            self._content[key] = content
        return found if key in self._fixed else found._replace(bias=merged_bias(module.bias, deltas))

    def release(self) -> None:
        """Give the memory back, but of fixed buffers; no merged weight may be active."""
        with self._lock:
            self._merged = {key: w.fixed for key, w in self._fixed.items()}
        self._content = {key: content for key, content in self._content.items() if key in self._fixed}


def _set_bias(fixed: Merged, bias: torch.Tensor | None) -> None:
    if fixed.bias is not None and bias is not None:
        fixed.bias.copy_(bias)
