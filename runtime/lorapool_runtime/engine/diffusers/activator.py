"""Activating stacks, merged or unmerged, within the budget that residents and merged weights share."""

from collections.abc import Callable, Sequence
from typing import Final

import structlog
import torch
from cachetools import LRUCache

from lorapool_api.kinds.conditions import Reason
from lorapool_api.kinds.serving import ApplyMode
from lorapool_api.wire.weighting.scale import scale_text
from lorapool_runtime.adapters.file import HostAdapter, ScaledAdapter
from lorapool_runtime.engine.contract import Recipe
from lorapool_runtime.engine.diffusers.device.accelerator import Accelerator
from lorapool_runtime.engine.diffusers.device.costs import BudgetRoom, Choice, Costs, choose, choose_compiled
from lorapool_runtime.engine.diffusers.device.residents import DeviceMemory
from lorapool_runtime.engine.diffusers.layers.switchboard import Plan, Stack, Switchboard
from lorapool_runtime.engine.diffusers.plans import Plans
from lorapool_runtime.engine.diffusers.weights.embeddings import token
from lorapool_runtime.engine.diffusers.weights.read import LoraAdapter
from lorapool_runtime.engine.result import Applied
from lorapool_runtime.errors import AdapterError, RecipeError

log = structlog.get_logger(__name__)

# A float each: far more adapters than a host's memory holds.
_LOSSES: Final = 4096
# Of the budget, what pairs side by side of plans that do not run may take.
_PAIRS_SHARE: Final = 1 / 8
_STEPPED: Final = Choice(merge=False, why="its scale changes from step to step")


class Activator:
    """Makes stacks active on the device. For the engine's thread. `costs` decide where the mode is Auto."""

    def __init__(
        self,
        board: Switchboard,
        memory: DeviceMemory,
        accelerator: Accelerator,
        mode: ApplyMode,
        itemsize: int,
        costs: Costs | None,
    ) -> None:
        self.plans = Plans(board)
        self.costs = costs
        self._board = board
        self._memory = memory
        self._accelerator = accelerator
        self._mode = mode
        self._itemsize = itemsize
        self._losses: LRUCache[str, float] = LRUCache(_LOSSES)
        self._logged: tuple[list[str], bool] = ([], False)

    @property
    def applied_bytes(self) -> int:
        """Memory beside the adapters' own, of the same budget: merged weights, and pairs side by side."""
        return self._board.merged_bytes + self.plans.own_bytes

    def note_loss(self, identity: str, loss: float | None) -> None:
        """What a merge loses of that adapter, as `weights.rounding` has it; None: nothing can be told."""
        if loss is not None:
            self._losses[identity] = loss

    def load(self, stack: Sequence[ScaledAdapter[HostAdapter]]) -> Stack:
        """The stack on the device. Raises: AdapterError: there is no room."""
        found = tuple(scaled.of(self._memory.load(lora(scaled.adapter), self._let_go)) for scaled in stack)
        self.plans.keep_only(self._memory.identities())
        return found

    def for_all(self, stack: Stack, recipe: Recipe, pictures: int, *, is_steady: bool = True) -> Applied:
        """Activate it for every picture of the next forwards.

        Args:
            pictures: that are wanted with this stack in all.
            is_steady: whether it stays for all their steps.

        Raises:
            AdapterError: there is no room for weights that can only be merged.
        """
        choice = self._choice(stack, recipe, pictures) if is_steady else _STEPPED
        if choice.merge:
            choice = self._merged(stack, choice)
        if not choice.merge:
            self._put(lambda: self.plans.get(stack, merge=False))
        self._log(stack, choice)
        if not stack:
            return Applied.NONE
        return Applied.MERGED if choice.merge else Applied.UNMERGED

    def unmerged(self, stack: Stack) -> None:
        """Activate it unmerged, for what its text encoders say or for some steps. Raises: AdapterError."""
        self._put(lambda: self.plans.get(stack, merge=False))

    def for_masked(self, text: Stack, everywhere: Stack) -> None:
        """Activate, unmerged, one stack in the text encoders, and those of its adapters that have no mask elsewhere: a
        pipeline may read its prompts while it runs. Raises: AdapterError."""
        self._put(lambda: self._apart(text, everywhere))

    def for_rows(self, stacks: Sequence[tuple[Stack, int]]) -> Applied:
        """Each for so many pictures of a batch. Raises: AdapterError."""
        self._put(lambda: self.plans.of_rows(stacks))
        return Applied.MIXED

    def bare(self) -> None:
        """The bare base."""
        self._board.clear()

    def free(self) -> None:
        """The bare base, and all memory given back that can be had again."""
        self._memory.evict_unused()
        self._let_go()
        self._accelerator.empty_cache()

    def close(self) -> None:
        """The bare base, and no adapter on the device until `open`."""
        self.bare()
        self._memory.close()
        self._let_go()

    def open(self) -> None:
        self._memory.open()

    def _let_go(self) -> None:
        """Of merged weights, of pairs side by side, and of the pointers that keep what was evicted in memory."""
        self._board.release()
        self.plans.drop_own()
        self.plans.keep_only(self._memory.identities())

    def _choice(self, stack: Stack, recipe: Recipe, pictures: int) -> Choice:
        room = BudgetRoom(self._memory.bound_bytes, self._memory.kept_bytes)
        rows = 2 if recipe.guidance_scale > 1 else 1
        pixels = rows * recipe.width * recipe.height
        work = self.plans.work(stack)
        loss = max((self._losses.get(scaled.adapter.identity, 0.0) for scaled in stack), default=0.0)
        if self._board.has_fixed and self._mode is ApplyMode.AUTO:
            return choose_compiled(work, loss)
        return choose(self._mode, self.costs, work, self._itemsize, room, recipe.steps * pictures, pixels, loss)

    def _merged(self, stack: Stack, choice: Choice) -> Choice:
        """Merge it; where that was a choice and there is no room after all, leave it to be added."""
        try:
            self._put(lambda: self.plans.get(stack, merge=True))
        except AdapterError:
            if self._mode is ApplyMode.MERGED:
                raise
            return Choice(merge=False, why="the device has no room for its merged weights")
        return choice

    def _apart(self, text: Stack, everywhere: Stack) -> Plan:
        said, shown = self.plans.get(text, merge=False), self.plans.get(everywhere, merge=False)
        deltas = (delta for scaled in text for delta in scaled.adapter.deltas)
        words = {id(delta.target.module) for delta in deltas if delta.target.is_text}
        return Plan(
            (*(u for u in said.unmerged if id(u[0]) in words), *(u for u in shown.unmerged if id(u[0]) not in words)),
            (
                *(m for m in said.merges if id(m.module) in words),
                *(m for m in shown.merges if id(m.module) not in words),
            ),
            said.own_bytes + shown.own_bytes,
        )

    def _put(self, plan: Callable[[], Plan]) -> None:
        """What fails leaves the bare base active. Raises: AdapterError."""
        if self._switched(plan):
            return
        self.free()
        if not self._switched(plan):
            message = "the device has no room for the merged weights that these adapters need"
            raise AdapterError(Reason.POD_FAILED, message, transient=True)

    def _switched(self, plan: Callable[[], Plan]) -> bool:
        """False where the device is full."""
        try:
            wanted = plan()
            self._make_room(wanted)
            self._board.switch(wanted)
        except torch.OutOfMemoryError:
            return False
        return True

    def _make_room(self, plan: Plan) -> None:
        """Within the budget as far as that goes: what must run is never refused for it."""
        missing = self._board.missing_bytes(plan)
        if not missing and not plan.own_bytes:
            return
        own, bound = self.plans.own_bytes, self._memory.bound_bytes
        if self._memory.kept_bytes + self._board.merged_bytes + own + missing > bound:
            # The buffers of other modules and the pairs of other plans are worth less than this run.
            self._board.release()
            self.plans.drop_own(but=plan)
            missing = self._board.missing_bytes(plan)
        elif own > bound * _PAIRS_SHARE:
            self.plans.drop_own(but=plan)
        self._memory.make_room(missing)
        self.plans.keep_only(self._memory.identities())

    def _log(self, stack: Stack, choice: Choice) -> None:
        names = [f"{scaled.adapter.identity[:12]} at {scale_text(scaled.scale)}" for scaled in stack]
        before, self._logged = self._logged, (names, choice.merge)
        if stack and before != self._logged:
            log.info("adapters active", adapters=names, merged=choice.merge, why=choice.why)


def lora(adapter: HostAdapter) -> LoraAdapter:
    """Raises: TypeError for one that another engine has read."""
    if not isinstance(adapter, LoraAdapter):
        raise TypeError(f"{adapter.identity} was not read by this engine")
    return adapter


def check_stack(stack: Sequence[LoraAdapter]) -> None:
    """Raises: RecipeError for a stack that has no meaning: each of two DoRAs would set a weight's length."""
    if sum(adapter.has_magnitude for adapter in stack) > 1:
        raise RecipeError("a stack may hold one DoRA adapter at most: each of them sets the length of every row")
    if sum(bool(adapter.embeddings) for adapter in stack) > 1:
        raise RecipeError(
            f"a stack may hold one adapter with tokens of its own at most: all of them call it {token(0)}"
        )
