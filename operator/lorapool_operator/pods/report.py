"""What is remembered of a pod, put together from its replies."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

from lorapool_api.schema import SharedFields
from lorapool_api.wire.catalog import Catalog
from lorapool_api.wire.state import AWAKE, AdapterState, BaseState, PodState, SleepState
from lorapool_operator.seen.observed import PodReport

# Adapters that a pod speaks of although nobody told it to serve them: those of an older catalog, or a flood.
MAX_STRANGERS: Final = 2000


class SaidAlike:
    """What pods say of the adapters of a pool: those that hold one file say the same of it, and that is kept once."""

    def __init__(self) -> None:
        self._last: dict[str, AdapterState] = {}
        self._fields = SharedFields()

    def kept(self, key: str, state: AdapterState, *, is_wanted: bool) -> AdapterState:
        """The state, as another pod has said it if one has. `is_wanted`: it is remembered for others."""
        last = self._last.get(key)
        if last is not None and last == state:
            return last
        self._fields.share(state)  # each pod speaks of hundreds
        if is_wanted:
            self._last[key] = state
        return state

    def keep_only(self, keys: Collection[str]) -> None:
        """Forget all other adapters."""
        self._last = {key: state for key, state in self._last.items() if key in keys}


@dataclass
class ReportLog:
    """What a pod said of itself so far.

    Replies may overtake each other, so whatever is remembered carries the version it came with. A reply to a PATCH
    names only the adapters of that change: it does not move `since`, from which the next long poll goes on.

    Attributes:
        busy_s: how long its process has worked with which adapters.
        start_s: how long each stage of its process's start took.
        sleep: whether its base waits in host memory.
        assignment: digest of the assignment that it follows.
        awaits: keys of adapters whose credentials it waits for.
        held: the catalog that the pod is known to hold, so that a delta can be sent; None: send all of it.
        wanted: keys of the adapters that the pod shall serve; of others, only some are remembered.
        alike: of all pods of the pool.
        accepts_token: whether the pod took our control token when it was last asked.
        was_asked: whether it has answered, or failed to.
    """

    instance: str | None = None
    since: int = 0
    digest: str | None = None
    assignment: str | None = None
    awaits: frozenset[str] = frozenset()
    base: BaseState | None = None
    busy_s: Mapping[str, float] = field(default_factory=dict)
    start_s: Mapping[str, float] = field(default_factory=dict)
    sleep: SleepState = AWAKE
    adapters: dict[str, AdapterState] = field(default_factory=dict)
    held: Catalog | None = None
    reachable: bool = False
    accepts_token: bool = True
    was_asked: bool = False
    wanted: frozenset[str] = frozenset()
    alike: SaidAlike = field(default_factory=SaidAlike)
    _header_version: int = -1
    _versions: dict[str, int] = field(default_factory=dict)
    _view: Mapping[str, AdapterState] | None = None
    _overflowed: bool = False

    @property
    def answers(self) -> tuple[bool, bool, bool]:
        """Whether it was asked, is reachable, and takes our token."""
        return self.was_asked, self.reachable, self.accepts_token

    def apply(self, state: PodState) -> bool:
        """Take a reply in; whether anything is different now."""
        changed = state.instance != self.instance
        if changed:
            self._forget(state.instance)
        changed |= self._apply_header(state)
        changed |= self._apply_adapters(state)
        return changed

    def expect(self, keys: frozenset[str]) -> None:
        """Say what the pod shall serve. What there was no room for before is asked for again."""
        self.wanted = keys
        if self._overflowed:
            self.since, self._overflowed = 0, False

    def report(self) -> PodReport:
        """What was said until now; what is said later does not change it."""
        if self._view is None:
            self._view = MappingProxyType(dict(self.adapters))
        return PodReport(
            reachable=self.reachable,
            digest=self.digest,
            base=self.base,
            adapters=self._view,
            accepts_token=self.accepts_token,
            held=self.held,
            was_asked=self.was_asked,
            busy_s=self.busy_s,
            start_s=self.start_s,
            sleep=self.sleep,
        )

    def _forget(self, instance: str) -> None:
        """Another process: whatever the one before it said is void."""
        self.instance, self.since, self.digest, self.base, self.held = instance, 0, None, None, None
        self.assignment, self.busy_s, self.start_s, self.awaits = None, {}, {}, frozenset()
        self.sleep = AWAKE
        self.adapters.clear()
        self._versions.clear()
        self._header_version, self._view = -1, None

    def _apply_header(self, state: PodState) -> bool:
        if state.version < self._header_version:
            return False
        said = (state.digest, state.base, state.busy_s, state.start_s, state.sleep)
        changed = said != (self.digest, self.base, self.busy_s, self.start_s, self.sleep)
        self.busy_s, self.start_s, self.sleep = state.busy_s, state.start_s, state.sleep
        self.assignment, self.awaits = state.assignment, state.awaits_credentials
        self.digest, self.base, self._header_version = state.digest, state.base, state.version
        return changed

    def _apply_adapters(self, state: PodState) -> bool:
        changed = False
        for key, adapter in state.adapters.items():
            if state.version >= self._versions.get(key, -1) and self._has_room_for(key):
                if self.adapters.get(key) != adapter:
                    changed, self._view = True, None
                    self.adapters[key] = self.alike.kept(key, adapter, is_wanted=key in self.wanted)
                self._versions[key] = state.version
        spoken_of = self._versions if state.complete else self._versions.keys() & set(state.gone)
        gone = [k for k in spoken_of if k not in state.adapters and self._versions[k] <= state.version]
        changed |= bool(gone)
        if gone or state.complete:
            self.drop(gone)
        return changed

    def _has_room_for(self, key: str) -> bool:
        has_room = key in self.wanted or key in self.adapters or len(self.adapters) < len(self.wanted) + MAX_STRANGERS
        self._overflowed |= not has_room
        return has_room

    def drop(self, keys: list[str] | tuple[str, ...]) -> None:
        """Forget adapters that the pod has no more."""
        self._view = None
        for key in keys:
            self.adapters.pop(key, None)
            self._versions.pop(key, None)
