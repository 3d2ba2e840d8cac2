"""What pods say of their adapters, learned as the operator learns it: by long polls for what has changed."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from typing import Final

from lorapool_api.kinds.conditions import Reason
from lorapool_api.wire.state import AdapterPhase, AdapterState, PodState
from lorapool_bench.fleet.place import BenchPods

# The operator's pause between two questions to a pod that always has news.
_PAUSE_S: Final = 0.25
_WAIT_S: Final = 20.0


class FollowedPods:
    """Pods and their adapters that are ready, as far as they have said so."""

    def __init__(self, pods: BenchPods, names: Iterable[str]) -> None:
        self._pods = pods
        self.ready: dict[str, set[str]] = {name: set() for name in names}
        self._news = asyncio.Event()

    async def until(self, is_so: Callable[[], bool]) -> None:
        """Return when it is so; asked whenever a pod has said something."""
        while not is_so():
            self._news.clear()
            await self._news.wait()

    async def follow(self, name: str) -> None:
        """Raises: RuntimeError where an adapter has failed, and will not be tried again."""
        query = ""
        while True:
            state = await self._pods.state(name, query)
            self._take(name, state)
            query = f"?since={state.version}&instance={state.instance}&wait={_WAIT_S}&gone=1"
            await asyncio.sleep(_PAUSE_S)

    def _take(self, name: str, state: PodState) -> None:
        failed = [f"{key}: {adapter.message}" for key, adapter in state.adapters.items() if _has_failed(adapter)]
        if failed:
            raise RuntimeError(f"{len(failed)} adapters of {name} have failed, among them {failed[0]}")
        ready = {key for key, adapter in state.adapters.items() if adapter.phase is AdapterPhase.READY}
        held = set() if state.complete else self.ready[name] - state.adapters.keys() - set(state.gone)
        self.ready[name] = held | ready
        self._news.set()


@asynccontextmanager
async def following(pods: BenchPods, names: Iterable[str]) -> AsyncIterator[FollowedPods]:
    """Follow these pods until the end of the block; what goes wrong with one of them ends it."""
    followed = FollowedPods(pods, names)
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(followed.follow(name)) for name in followed.ready]
        yield followed
        for task in tasks:
            task.cancel()


def _has_failed(adapter: AdapterState) -> bool:
    return isinstance(adapter.reason, Reason) and not adapter.reason.traits.is_transient
