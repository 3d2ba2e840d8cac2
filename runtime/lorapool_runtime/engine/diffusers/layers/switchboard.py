"""All places for adapters in a base, and switching between stacks by setting pointers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import nn

from lorapool_api.lora.layouts.keys import flat_name
from lorapool_runtime.adapters.file import ScaledAdapter
from lorapool_runtime.engine.diffusers.layers.adapted import (
    Adapted,
    Added,
    Branch,
    Merged,
    Mixed,
    Rows,
    adapt,
    branch_of,
    put_in_force,
    stacked_of,
)
from lorapool_runtime.engine.diffusers.layers.delta import Change, add_delta, gain
from lorapool_runtime.engine.diffusers.layers.merged import Content, Shadows
from lorapool_runtime.engine.diffusers.layers.target import Place


@dataclass(frozen=True, eq=False)
class Loaded:
    """An adapter, its tensors on the base's device. Equal to none but itself: tensors may come again.

    Attributes:
        words: new words' rows, component -> (words, width).
    """

    identity: str
    changes: tuple[Change, ...]
    size_bytes: int
    words: Mapping[str, torch.Tensor] = field(default_factory=dict)


Stack = tuple[ScaledAdapter[Loaded], ...]


@dataclass(frozen=True)
class Merge:
    """A module whose weight is to be computed before the stack can be in force."""

    module: Adapted
    content: Content
    changes: tuple[tuple[Change, float], ...]


@dataclass(frozen=True)
class Plan:
    """A stack, worked out: what each module gets. Putting it in force only sets pointers, and merges where it must."""

    added: tuple[tuple[Adapted, Added | Mixed], ...]
    merges: tuple[Merge, ...]


class Switchboard:
    """Wraps the modules of a base once. Only the engine's thread plans and switches."""

    def __init__(self, components: Mapping[str, nn.Module]) -> None:
        self._places = {
            (component, flat_name(name)): Place(component, name, adapted)
            for component, model in components.items()
            for name, module in list(model.named_modules())
            if (adapted := adapt(module)) is not None
        }
        self.components = frozenset(components)
        self._shadows = Shadows()
        self._in_force: list[Adapted] = []

    @property
    def merged_bytes(self) -> int:
        """Memory that merged weights take."""
        return self._shadows.size_bytes

    def find(self, component: str, module: str) -> Place | None:
        """The place of that name, however its layout writes it."""
        return self._places.get((component, flat_name(module)))

    def modules(self) -> dict[str, dict[str, tuple[int, ...]]]:
        """component -> dotted name -> shape of the weight."""
        named: dict[str, dict[str, tuple[int, ...]]] = {}
        for place in self._places.values():
            named.setdefault(place.component, {})[place.name] = place.shape
        return named

    def linears(self, component: str, most: int) -> list[Place]:
        """So many at most of a component's Linears, of every size: a stand-in for all of them where costs are
        measured."""
        found = [p for p in self._places.values() if p.component == component and len(p.shape) == 2]
        found.sort(key=lambda place: place.module.weight.numel())
        return found[:: max(-(-len(found) // most), 1)]

    def missing_bytes(self, plan: Plan) -> int:
        """Memory that merged weights would take for this plan beyond what they take now."""
        return self._shadows.missing_bytes(merge.module for merge in plan.merges)

    def plan(self, stack: Stack, *, merge: bool = False) -> Plan:
        """What the stack means for each module.

        Args:
            merge: merge all of it; else only the modules that cannot be had otherwise.

        Raises:
            torch.OutOfMemoryError: no room for working out a DoRA's gain.
        """
        touched: dict[int, list[tuple[Change, float, str]]] = {}
        for scaled in stack:
            for change in scaled.adapter.changes:
                touched.setdefault(id(change.place.module), []).append((change, scaled.scale, scaled.adapter.identity))
        added, merges = [], []
        for uses in touched.values():
            module = uses[0][0].place.module
            if merge or any(change.must_merge for change, _, _ in uses):
                content = tuple((identity, strength) for _, strength, identity in uses)
                merges.append(Merge(module, content, tuple((change, strength) for change, strength, _ in uses)))
            else:
                added.append((module, _added(module, uses)))
        return Plan(tuple(added), tuple(merges))

    def plan_rows(self, stacks: Sequence[tuple[Stack, int]]) -> Plan:
        """What a batch means for each module of the denoiser: so many pictures with this stack, then so many with that.

        Text encoders are none of its business: they work on one prompt after the other, before the batch.

        Raises: ValueError for a stack that does not mix.
        """
        touched: dict[int, tuple[Adapted, list[Rows]]] = {}
        start = 0
        for stack, count in stacks:
            branches: dict[int, list[Branch]] = {}
            for scaled in stack:
                for change in scaled.adapter.changes:
                    if change.place.is_text:
                        continue
                    if not change.mixes:
                        raise ValueError(
                            f"{change.place} of {scaled.adapter.identity[:12]} cannot be had for some rows only"
                        )
                    module = change.place.module
                    touched.setdefault(id(module), (module, []))
                    branches.setdefault(id(module), []).append(_branch(change, scaled.scale))
            for key, found in branches.items():
                touched[key][1].append(Rows(start, start + count, tuple(found)))
            start += count
        return Plan(tuple((module, _mixed(module, start, rows)) for module, rows in touched.values()), ())

    def switch(self, plan: Plan) -> None:
        """Put exactly this in force. What fails leaves the bare base in force.

        Raises:
            torch.OutOfMemoryError: no room for a merged weight.
        """
        self.clear()
        for merge in plan.merges:
            merged = self._shadows.of(merge.module, merge.content, merge.changes)
            self._put(merge.module, merged)
        for module, change in plan.added:
            self._put(module, change)

    def clear(self) -> None:
        """The bare base."""
        for module in self._in_force:
            put_in_force(module, None)
        self._in_force.clear()

    def release(self) -> None:
        """The bare base, and the memory of merged weights given back."""
        self.clear()
        self._shadows.release()

    def _put(self, module: Adapted, change: Added | Mixed | Merged) -> None:
        self._in_force.append(module)
        put_in_force(module, change)


def _branch(change: Change, strength: float) -> Branch:
    return branch_of(change.place.module, change.parts["down"], change.parts["up"], change.scale * strength)


@torch.inference_mode()
def _mixed(module: Adapted, pictures: int, rows: Sequence[Rows]) -> Mixed:
    return Mixed(pictures, tuple(rows), stacked_of(module, pictures, rows))


@torch.inference_mode()
def _added(module: Adapted, uses: Sequence[tuple[Change, float, str]]) -> Added:
    ordered = sorted(uses, key=lambda use: not use[0].has_gain)
    branches = tuple(_branch(change, strength) for change, strength, _ in ordered)
    first, strength, _ = ordered[0]
    if not first.has_gain:
        return Added(branches)
    moved = module.weight.to(torch.float32, memory_format=torch.contiguous_format, copy=True)
    add_delta(moved, first, strength)
    # (out, 1, ...) as the module's output takes it: its channels come last, or before height and width.
    lengths = gain(first, moved)
    return Added(branches, lengths.reshape(-1, *lengths.shape[2:]).to(module.weight.dtype))
