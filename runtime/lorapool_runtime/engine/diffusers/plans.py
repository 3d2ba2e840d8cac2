"""The plans of the stacks that were active last: a switch back and forth works each of them out once."""

from collections.abc import Collection
from typing import Final

from cachetools import LRUCache

from lorapool_runtime.engine.diffusers.device.costs import StackWork, work_of
from lorapool_runtime.engine.diffusers.layers.switchboard import Plan, Stack, Switchboard

_KEPT: Final = 32


class Plans:
    """An LRU cache of plans. For the engine's thread."""

    def __init__(self, board: Switchboard) -> None:
        self._board = board
        self._plans: LRUCache[tuple[Stack, bool], Plan] = LRUCache(_KEPT)
        self._works: LRUCache[Stack, StackWork] = LRUCache(_KEPT)

    def get(self, stack: Stack, *, merge: bool) -> Plan:
        """Raises: torch.OutOfMemoryError."""
        key = (stack, merge)
        if key not in self._plans:
            self._plans[key] = self._board.plan(stack, merge=merge)
        return self._plans[key]

    def work(self, stack: Stack) -> StackWork:
        """What the stack is for the choice between merged and unmerged."""
        if stack not in self._works:
            self._works[stack] = work_of(stack)
        return self._works[stack]

    def keep_only(self, identities: Collection[str]) -> None:
        """Forget the plans with other adapters: they would keep memory that was meant to be free."""
        for stack, merge in list(self._plans):
            if not _is_of(stack, identities):
                del self._plans[stack, merge]
        for stack in list(self._works):
            if not _is_of(stack, identities):
                del self._works[stack]


def _is_of(stack: Stack, identities: Collection[str]) -> bool:
    return all(scaled.adapter.identity in identities for scaled in stack)
