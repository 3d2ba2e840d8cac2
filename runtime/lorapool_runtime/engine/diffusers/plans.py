"""The stacks of late, worked out: who switches back and forth pays for the thinking once."""

from collections import OrderedDict
from collections.abc import Collection
from typing import Final

from lorapool_runtime.engine.diffusers.device.costs import StackWork, work_of
from lorapool_runtime.engine.diffusers.layers.switchboard import Plan, Stack, Switchboard

_KEPT: Final = 32


class Plans:
    """A bounded memory of plans, for the engine's thread."""

    def __init__(self, board: Switchboard) -> None:
        self._board = board
        self._plans: OrderedDict[tuple[Stack, bool], Plan] = OrderedDict()
        self._works: OrderedDict[Stack, StackWork] = OrderedDict()

    def get(self, stack: Stack, *, merge: bool) -> Plan:
        """Raises: torch.OutOfMemoryError."""
        key = (stack, merge)
        plan = self._plans.get(key)
        if plan is None:
            plan = self._plans[key] = self._board.plan(stack, merge=merge)
            if len(self._plans) > _KEPT:
                self._plans.popitem(last=False)
        self._plans.move_to_end(key)
        return plan

    def work(self, stack: Stack) -> StackWork:
        """What the stack is for the choice between merged and unmerged."""
        found = self._works.get(stack)
        if found is None:
            found = self._works[stack] = work_of(stack)
            if len(self._works) > _KEPT:
                self._works.popitem(last=False)
        self._works.move_to_end(stack)
        return found

    def keep_only(self, identities: Collection[str]) -> None:
        """Forget the plans with other adapters: they would keep memory that was meant to be free."""
        for stack, merge in list(self._plans):
            if not all(scaled.adapter.identity in identities for scaled in stack):
                del self._plans[stack, merge]
        for stack in list(self._works):
            if not all(scaled.adapter.identity in identities for scaled in stack):
                del self._works[stack]
