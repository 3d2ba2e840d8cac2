"""The plans of the stacks that were active last: a switch back and forth works each of them out once."""

from collections.abc import Callable, Collection, Sequence
from typing import Final

from cachetools import LRUCache

from lorapool_runtime.engine.diffusers.device.costs import StackWork, work_of
from lorapool_runtime.engine.diffusers.layers.switchboard import Plan, Stack, Switchboard

_KEPT: Final = 32
# Each stack of a batch with how many pictures it is for, none: for all; and whether it is merged.
_Key = tuple[tuple[tuple[Stack, int], ...], bool]


class Plans:
    """An LRU cache of plans. For the engine's thread.

    Attributes:
        own_bytes: memory of pairs that were put side by side for them. Any thread may read it.
    """

    def __init__(self, board: Switchboard) -> None:
        self._board = board
        self._plans: LRUCache[_Key, Plan] = LRUCache(_KEPT)
        self._works: LRUCache[Stack, StackWork] = LRUCache(_KEPT)
        self.own_bytes = 0

    def get(self, stack: Stack, *, merge: bool) -> Plan:
        """Raises: torch.OutOfMemoryError."""
        return self._kept((((stack, 0),), merge), lambda: self._board.plan(stack, merge=merge))

    def of_rows(self, stacks: Sequence[tuple[Stack, int]]) -> Plan:
        """As `Switchboard.plan_rows`; only the last one is kept: batches seldom come again.

        Raises: torch.OutOfMemoryError, ValueError.
        """
        key = (tuple(stacks), False)
        self._forget(lambda kept, _: kept == key or all(not pictures for _, pictures in kept[0]))
        return self._kept(key, lambda: self._board.plan_rows(stacks))

    def work(self, stack: Stack) -> StackWork:
        """What the stack is for the choice between merged and unmerged."""
        if stack not in self._works:
            self._works[stack] = work_of(stack)
        return self._works[stack]

    def keep_only(self, identities: Collection[str]) -> None:
        """Forget the plans with other adapters: they would keep memory that was meant to be free."""
        self._forget(lambda key, _: all(_is_of(stack, identities) for stack, _ in key[0]))
        for stack in list(self._works):
            if not _is_of(stack, identities):
                del self._works[stack]

    def drop_own(self, but: Plan | None = None) -> None:
        """Forget the plans with memory of their own, but that one."""
        self._forget(lambda _, plan: not plan.own_bytes or plan is but)

    def _kept(self, key: _Key, make: Callable[[], Plan]) -> Plan:
        found = self._plans.get(key)
        if found is None:
            found = self._plans[key] = make()
            self._count()
        return found

    def _forget(self, stays: Callable[[_Key, Plan], bool]) -> None:
        for key, plan in list(self._plans.items()):
            if not stays(key, plan):
                del self._plans[key]
        self._count()

    def _count(self) -> None:
        self.own_bytes = sum(plan.own_bytes for plan in self._plans.values())


def _is_of(stack: Stack, identities: Collection[str]) -> bool:
    return all(scaled.adapter.identity in identities for scaled in stack)
