"""Which requests come next: pure, so that it can be tested with any clock."""

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

from lorapool_api.wire.weighting.scale import Weighting
from lorapool_runtime.queue.fair.shares import Rank

# What must be active for a request: identities of the files and their scales. Empty: the bare base.
StackId = tuple[tuple[str, float | Weighting], ...]


class Queued(Protocol):
    """A request in the queue, as far as the policy goes."""

    @property
    def stack_id(self) -> StackId: ...
    @property
    def arrived_s(self) -> float: ...
    @property
    def shape(self) -> Hashable:
        """Requests of the same shape may share a forward; None: it goes alone."""

    @property
    def images(self) -> int: ...


Entry = TypeVar("Entry", bound=Queued)


@dataclass(frozen=True)
class TimeSlice:
    """The active stack, since when requests for it are served one after the other, and what the switch to it took."""

    stack_id: StackId
    since_s: float
    switch_s: float = 0.0


@dataclass(frozen=True)
class QueueRules:
    """How long the active stack may go on, in seconds.

    Attributes:
        patience_s: how long a request may be overtaken by later ones for the active stack.
        slice_s: when others have waited that long, how long the active stack still goes on: where all wait too long,
            each adapter gets a slice, not each request a switch.
        min_slice_ratio: how many times longer than the switch to it a slice is at least: what switches may take of
            the time.
    """

    patience_s: float = 10.0
    slice_s: float = 2.0
    min_slice_ratio: float = 5.0

    def length_s(self, current: TimeSlice) -> float:
        """Seconds that this slice may go on while others wait too long."""
        return max(self.slice_s, self.min_slice_ratio * current.switch_s)


DEFAULT_RULES = QueueRules()


def _alike(_: object) -> Rank:
    return Rank()


def pick(
    waiting: Sequence[Entry],
    current: TimeSlice,
    now_s: float,
    rules: QueueRules,
    rank: Callable[[Entry], Rank] = _alike,
) -> Entry:
    """The request that comes next; `waiting` is in the order in which requests are due, and not empty.

    Whoever asks for a higher priority comes first, and whoever has had less of the engine by more than a slice.

    Requests for the active stack come first, which saves switches, but only while nobody else has waited longer than
    `patience_s`, or the slice has just begun. Then the oldest of the others comes, also where the active stack has
    older ones: an adapter with more requests than the engine can serve must not make all others wait for them.
    """
    same = next((entry for entry in waiting if entry.stack_id == current.stack_id), None)
    other = next((entry for entry in waiting if entry.stack_id != current.stack_id), None)
    if same is None or other is None:
        return waiting[0]
    lead_s = rules.length_s(current)
    if rank(same).is_before(rank(other), lead_s):
        return same
    if rank(other).is_before(rank(same), lead_s):
        return other
    is_patient = now_s - other.arrived_s <= rules.patience_s
    return same if is_patient or now_s - current.since_s < lead_s else other


def batch_with(first: Entry, waiting: Sequence[Entry], most_images: int, mixes: Callable[[Entry], bool]) -> list[Entry]:
    """That request and those that share a forward with it: of its shape, up to so many images in all.

    Those for the same stack come first, then, if they mix, those for others, each in the order in which they are due.

    Args:
        mixes: whether a request may share a forward with requests for other adapters.
    """
    if first.shape is None:
        return [first]
    others = [entry for entry in waiting if entry is not first and entry.shape == first.shape]
    same = [entry for entry in others if entry.stack_id == first.stack_id]
    # A stack that does not mix shares a forward with its own kind only.
    mixing = [entry for entry in others if entry.stack_id != first.stack_id and mixes(first) and mixes(entry)]
    batch, images = [first], first.images
    for entry in (*same, *mixing):
        if images + entry.images <= most_images:
            batch.append(entry)
            images += entry.images
    return batch


def next_stacks(waiting: Sequence[Entry], active: StackId) -> list[Entry]:
    """The first request of each stack, in the order in which the stacks will be wanted, as far as can be told now.

    The active stack goes on, then the others come as they are due.
    """
    first: dict[StackId, Entry] = {}
    for entry in waiting:
        first.setdefault(entry.stack_id, entry)
    return sorted(first.values(), key=lambda entry: entry.stack_id != active)
