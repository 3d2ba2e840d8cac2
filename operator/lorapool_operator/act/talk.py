"""What is remembered of a pod, put together from its replies."""

from dataclasses import dataclass, field

from lorapool_api.wire.catalog import Catalog
from lorapool_api.wire.state import AdapterState, BaseState, PodState
from lorapool_operator.observed import Talk


@dataclass
class Memory:
    """What a pod said of itself so far.

    Replies may overtake each other, so whatever is remembered carries the version it came with. A reply to a PATCH
    names only the adapters of that change: it does not move `since`, from which the next long poll goes on.

    Attributes:
        held: the catalog that the pod is known to hold, so that a delta can be sent; None: send all of it.
    """

    instance: str | None = None
    since: int = 0
    digest: str | None = None
    base: BaseState | None = None
    adapters: dict[str, AdapterState] = field(default_factory=dict)
    held: Catalog | None = None
    reachable: bool = False
    _header_version: int = -1
    _versions: dict[str, int] = field(default_factory=dict)

    def hear(self, state: PodState) -> bool:
        """Take a reply in; whether anything is different now."""
        changed = state.instance != self.instance
        if changed:
            self._forget(state.instance)
        changed |= self._hear_header(state)
        changed |= self._hear_adapters(state)
        return changed

    def talk(self) -> Talk:
        """A view for decisions."""
        return Talk(self.reachable, self.digest, self.base, self.adapters)

    def _forget(self, instance: str) -> None:
        """Another process: whatever the one before it said is void."""
        self.instance, self.since, self.digest, self.base, self.held = instance, 0, None, None, None
        self.adapters.clear()
        self._versions.clear()
        self._header_version = -1

    def _hear_header(self, state: PodState) -> bool:
        if state.version < self._header_version:
            return False
        changed = (state.digest, state.base) != (self.digest, self.base)
        self.digest, self.base, self._header_version = state.digest, state.base, state.version
        return changed

    def _hear_adapters(self, state: PodState) -> bool:
        changed = False
        for key, adapter in state.adapters.items():
            if state.version >= self._versions.get(key, -1):
                changed |= self.adapters.get(key) != adapter
                self.adapters[key], self._versions[key] = adapter, state.version
        if state.complete:
            gone = [k for k, v in self._versions.items() if k not in state.adapters and v <= state.version]
            changed |= bool(gone)
            self.drop(gone)
        return changed

    def drop(self, keys: list[str] | tuple[str, ...]) -> None:
        """Forget adapters that the pod has no more."""
        for key in keys:
            self.adapters.pop(key, None)
            self._versions.pop(key, None)
