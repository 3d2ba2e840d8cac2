"""Merged weights: buffers beside the base's, allocated once for a module and written again for each stack."""

import threading
from collections.abc import Callable, Iterable, Sequence
from math import prod

import torch

from lorapool_runtime.engine.diffusers.layers.adapted import Adapted, Merged
from lorapool_runtime.engine.diffusers.layers.delta import ModuleDelta, merge_into, merged_bias
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
        self._lock = threading.Lock()

    @property
    def size_bytes(self) -> int:
        with self._lock:
            return sum(m.weight.numel() * m.weight.element_size() for m in self._merged.values())

    def missing_bytes(self, modules: Iterable[Adapted]) -> int:
        """What buffers for these would take that are not there yet."""
        return sum(prod(shape_of(m)) * dtype_of(m.weight).itemsize for m in modules if id(m) not in self._merged)

    def of(self, module: Adapted, content: Content, deltas: Sequence[tuple[ModuleDelta, float]]) -> Merged:
        """The module's buffer with W' of these deltas in it; nothing is computed where it holds that already.

        Raises:
            torch.OutOfMemoryError: no room for the buffer, or for W' in float32.
        """
        key = id(module)
        found = self._merged.get(key)
        if found is None:
            found = Merged(torch.empty_like(plain(module.weight)))
            with self._lock:
                self._merged[key] = found
        if self._content.get(key) != content:
            # Half-written is nobody's: what it holds is said only when it is whole.
            self._content.pop(key, None)
            self._merge(found.weight, plain(module.weight), deltas)
            self._content[key] = content
        return found._replace(bias=merged_bias(module.bias, deltas))

    def release(self) -> None:
        """Give the memory back; no merged weight may be active."""
        with self._lock:
            self._merged.clear()
        self._content.clear()
