"""Between the workers of two pools: how an adapter that moves fares in the pool that it leaves.

The worker of the pool that an adapter belongs to writes its status, and nobody else does. All of this is made anew
after a restart: which pool serves the adapter stands in its status.
"""

from collections.abc import Mapping
from typing import Final

from lorapool_api.kinds.adapter import Adapter
from lorapool_operator.cluster.cache import ObjectCache
from lorapool_operator.seen.handover import ServedElsewhere

_NOTHING: Final[Mapping[str, ServedElsewhere]] = {}


class Handovers:
    """What each pool says of the adapters that leave it. The pools that they move to are woken when that changes."""

    def __init__(self, cache: ObjectCache) -> None:
        self._cache = cache
        self._said: dict[str, Mapping[str, ServedElsewhere]] = {}

    def tell(self, pool: str, leaving: Mapping[str, ServedElsewhere]) -> None:
        """Take what the pool says now of all that leave it, by their keys."""
        before = self._said.get(pool, _NOTHING)
        if leaving == before:
            return
        if leaving:
            self._said[pool] = leaving
        else:
            del self._said[pool]
        changed = (key for key in {*before, *leaving} if before.get(key) != leaving.get(key))
        adapters = (self._cache.adapters.get(key) for key in changed)
        self._cache.wake({adapter.pool_key for adapter in adapters if adapter is not None} - {pool})

    def served_elsewhere(self, adapter: Adapter) -> ServedElsewhere | None:
        """How it fares in the pool that it leaves; None: it leaves none that is still there."""
        if not adapter.is_moving or self._cache.living_pool(adapter.serving_pool) is None:
            return None
        said = self._said.get(adapter.serving_pool, _NOTHING).get(adapter.key)
        is_said = said is not None and said.uid == adapter.metadata.uid
        return said if is_said else ServedElsewhere(adapter.serving_pool, adapter.metadata.uid)
