"""The modules of a base that adapters change, and switching between stacks by setting pointers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import nn

from lorapool_api.lora.layouts.keys import flat_name
from lorapool_api.wire.weighting.blocks import BlockTable
from lorapool_runtime.adapters.file import ScaledAdapter
from lorapool_runtime.engine.diffusers.layers.active import Branch, Merged, PerRow, RowSlice, Unmerged
from lorapool_runtime.engine.diffusers.layers.adapted import Adapted, activate, branch_of
from lorapool_runtime.engine.diffusers.layers.delta import ModuleDelta, add_delta, magnitude_ratio, merge_into
from lorapool_runtime.engine.diffusers.layers.merged import Content, Merge, MergedWeights
from lorapool_runtime.engine.diffusers.layers.pairs import PairMaker
from lorapool_runtime.engine.diffusers.layers.target import TargetModule, adapted_modules
from lorapool_runtime.engine.diffusers.layers.twin import FixedWeights
from lorapool_runtime.engine.diffusers.packed.weights import dtype_of, plain


@dataclass(frozen=True, eq=False)
class DeviceAdapter:
    """An adapter, its tensors on the base's device. Equal to none but itself: tensors may come again.

    Attributes:
        embeddings: rows of new tokens, component -> (tokens, width).
    """

    identity: str
    deltas: tuple[ModuleDelta, ...]
    size_bytes: int
    embeddings: Mapping[str, torch.Tensor] = field(default_factory=dict)


Stack = tuple[ScaledAdapter[DeviceAdapter], ...]


@dataclass(frozen=True)
class PlannedMerge:
    """A module whose weight is to be computed before the stack can be active."""

    module: Adapted
    content: Content
    deltas: tuple[tuple[ModuleDelta, float], ...]


@dataclass(frozen=True)
class Plan:
    """A stack, worked out: what each module gets. Activating it only sets pointers, and merges where it must.

    Attributes:
        own_bytes: memory of pairs that were put side by side for it.
    """

    unmerged: tuple[tuple[Adapted, Unmerged | PerRow], ...]
    merges: tuple[PlannedMerge, ...]
    own_bytes: int = 0


class Switchboard:
    """Wraps the modules of a base once. Only the engine's thread plans and switches.

    Attributes:
        is_fixed_whole: whether the fixed weights are all that is active, so that their twin says what the base does.
    """

    def __init__(
        self, components: Mapping[str, nn.Module], merge: Merge = merge_into, blocks: BlockTable | None = None
    ) -> None:
        """`merge` writes merged weights; `blocks` are those of the UNet."""
        found = [target for name, model in components.items() for target in adapted_modules(name, model, blocks)]
        self._targets = {(target.component, flat_name(target.name)): target for target in found}
        self.components = frozenset(components)
        self._merged_weights = MergedWeights(merge)
        self._active: list[Adapted] = []
        self._fixed: frozenset[int] = frozenset()
        self._additions: tuple[tuple[Adapted, Unmerged | PerRow], ...] = ()
        self.is_fixed_whole = False

    @property
    def merged_bytes(self) -> int:
        """Memory that merged weights take."""
        return self._merged_weights.size_bytes

    @property
    def has_fixed(self) -> bool:
        """Whether a twin reads weights that a switch writes."""
        return bool(self._fixed)

    def additions(self) -> tuple[tuple[Adapted, Unmerged | PerRow], ...]:
        """What modules with fixed weights add, where that is all that is active in them."""
        return self._additions

    @property
    def is_bare(self) -> bool:
        """Whether no adapter is active."""
        return not self._active

    def find(self, component: str, module: str) -> TargetModule | None:
        """The module of that name, however its layout writes it."""
        return self._targets.get((component, flat_name(module)))

    def modules(self) -> dict[str, dict[str, tuple[int, ...]]]:
        """component -> dotted name -> shape of the weight."""
        named: dict[str, dict[str, tuple[int, ...]]] = {}
        for target in self._targets.values():
            named.setdefault(target.component, {})[target.name] = target.shape
        return named

    @property
    def is_packed(self) -> bool:
        """Whether any weight is kept in fewer bits than its dtype says."""
        return any(target.is_packed for target in self._targets.values())

    def linears(self, component: str, most: int) -> list[TargetModule]:
        """So many at most of a component's Linears, of every size: a stand-in for all of them where costs are
        measured."""
        found = [p for p in self._targets.values() if p.component == component and len(p.shape) == 2]
        found.sort(key=lambda target: target.elements)
        return found[:: max(-(-len(found) // most), 1)]

    def missing_bytes(self, plan: Plan) -> int:
        """Memory that merged weights would take for this plan beyond what they take now."""
        return self._merged_weights.missing_bytes(merge.module for merge in plan.merges)

    def plan(self, stack: Stack, *, merge: bool = False) -> Plan:
        """What the stack means for each module.

        Args:
            merge: merge all of it; else only the modules that cannot be had otherwise.

        Raises:
            torch.OutOfMemoryError: no room for pairs side by side, or for working out a DoRA's ratio.
        """
        touched: dict[int, list[tuple[ModuleDelta, float, str]]] = {}
        for scaled in stack:
            for delta in scaled.adapter.deltas:
                # A DoRA's length is that of its weight, even where it counts nothing.
                if delta.target.is_left_out(scaled.scale) and not delta.has_magnitude:
                    continue
                use = (delta, delta.target.strength(scaled.scale), scaled.adapter.identity)
                touched.setdefault(id(delta.target.module), []).append(use)
        unmerged, merges, maker = [], [], PairMaker()
        for uses in touched.values():
            module = uses[0][0].target.module
            if merge or any(delta.must_merge for delta, _, _ in uses):
                content = tuple((identity, strength) for _, strength, identity in uses)
                merges.append(PlannedMerge(module, content, tuple((delta, strength) for delta, strength, _ in uses)))
            else:
                unmerged.append((module, _unmerged(module, uses, maker)))
        return Plan(tuple(unmerged), tuple(merges), maker.size_bytes)

    def plan_rows(self, stacks: Sequence[tuple[Stack, int]]) -> Plan:
        """What a batch means for each module of the denoiser: so many pictures with this stack, then so many with that.

        Text encoders are none of its business: they work on one prompt after the other, before the batch.

        Raises:
            ValueError: a stack that does not mix.
            torch.OutOfMemoryError: no room for pairs side by side.
        """
        touched: dict[int, tuple[Adapted, list[RowSlice]]] = {}
        start = 0
        for stack, count in stacks:
            branches: dict[int, list[Branch]] = {}
            for scaled in stack:
                for delta in scaled.adapter.deltas:
                    if delta.target.is_text or delta.target.is_left_out(scaled.scale):
                        continue
                    if not delta.mixes:
                        raise ValueError(
                            f"{delta.target} of {scaled.adapter.identity[:12]} cannot be had for some rows only"
                        )
                    module = delta.target.module
                    touched.setdefault(id(module), (module, []))
                    branches.setdefault(id(module), []).append(_branch(delta, delta.target.strength(scaled.scale)))
            for key, found in branches.items():
                touched[key][1].append(RowSlice(start, start + count, tuple(found)))
            start += count
        maker = PairMaker()
        with torch.inference_mode():
            made = tuple((module, maker.per_row(module, start, rows)) for module, rows in touched.values())
        return Plan(made, (), maker.size_bytes)

    def fix(self, weights: Sequence[FixedWeights]) -> None:
        """Merge into these from now on, and bring back the base's weights there where a stack does not touch them."""
        self._fixed = frozenset(id(w.module) for w in weights)
        self._merged_weights.fix(weights)

    def switch(self, plan: Plan) -> None:
        """Activate exactly this. What fails leaves the bare base active.

        Raises:
            torch.OutOfMemoryError: no room for a merged weight.
        """
        self.clear()
        for merge in plan.merges:
            self._put(merge.module, self._merged_weights.of(merge.module, merge.content, merge.deltas))
        for module, delta in plan.unmerged:
            self._put(module, delta)
        if self._fixed and self._fixed.isdisjoint(id(module) for module, _ in plan.unmerged):
            self._merged_weights.settle({id(merge.module) for merge in plan.merges})
            self.is_fixed_whole = True
        elif self._fixed.isdisjoint(id(merge.module) for merge in plan.merges):
            self._additions = tuple(added for added in plan.unmerged if id(added[0]) in self._fixed)

    def clear(self) -> None:
        """The bare base."""
        for module in self._active:
            activate(module, None)
        self._active.clear()
        self._additions = ()
        self.is_fixed_whole = False

    def release(self) -> None:
        """The bare base, and the memory of merged weights given back."""
        self.clear()
        self._merged_weights.release()

    def _put(self, module: Adapted, delta: Unmerged | PerRow | Merged) -> None:
        self._active.append(module)
        activate(module, delta)


def _branch(delta: ModuleDelta, strength: float) -> Branch:
    return branch_of(delta.target.module, delta.parts["down"], delta.parts["up"], delta.scale * strength)


@torch.inference_mode()
def _unmerged(module: Adapted, uses: Sequence[tuple[ModuleDelta, float, str]], maker: PairMaker) -> Unmerged:
    ordered = sorted(uses, key=lambda use: not use[0].has_magnitude)
    branches = [_branch(delta, strength) for delta, strength, _ in ordered]
    first, strength, _ = ordered[0]
    if not first.has_magnitude:
        return Unmerged((maker.side_by_side(branches),))
    moved = plain(module.weight, first.device).to(torch.float32, memory_format=torch.contiguous_format, copy=True)
    add_delta(moved, first, strength)
    # (out, 1, ...) as the module's output takes it: its channels come last, or before height and width.
    lengths = magnitude_ratio(first, moved)
    ratio = lengths.reshape(-1, *lengths.shape[2:]).to(dtype_of(module.weight))
    others = (maker.side_by_side(branches[1:]),) if branches[1:] else ()
    return Unmerged((branches[0], *others), ratio)
