"""Which requests come next: pure, so that it can be tested with any clock."""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

# What is in force for a request: identities of the files and their scales. Empty: the bare base.
Stack = tuple[tuple[str, float], ...]


@dataclass(frozen=True)
class Waiting:
    """A request in the queue, as far as the choice goes.

    Attributes:
        shape: requests of the same shape may share a forward; None: it goes alone.
        mixes: whether it may do so with requests for other adapters.
        rows: pictures that it wants.
    """

    stack: Stack
    since_s: float
    shape: Hashable = None
    mixes: bool = False
    rows: int = 1


@dataclass(frozen=True)
class Turn:
    """The stack in force, since when requests for it are served one after the other, and what going to it took."""

    stack: Stack
    since_s: float
    switch_s: float = 0.0


@dataclass(frozen=True)
class Rules:
    """Seconds.

    Attributes:
        patience_s: how long a request may be overtaken by later ones for the stack in force.
        turn_s: when others have waited that long, how long a stack still goes on: where all wait too long, each
            adapter gets a turn, not each request a switch.
        worth: how many times longer than the switch to it a turn is at least: what switches may take of the time.
    """

    patience_s: float = 10.0
    turn_s: float = 2.0
    worth: float = 5.0

    def turn_of(self, turn: Turn) -> float:
        """Seconds that this turn may go on while others wait too long."""
        return max(self.turn_s, self.worth * turn.switch_s)


USUAL = Rules()


def choose(waiting: Sequence[Waiting], turn: Turn, now_s: float, rules: Rules) -> int:
    """Index of the request that comes next; `waiting` is in order of arrival and not empty.

    Requests for what is in force come first, which saves switches, but only while nobody else has waited longer than
    `patience_s`, or the turn has just begun. Then the oldest of the others comes, also where the stack in force has
    older ones: an adapter with more requests than the engine can serve must not make all others wait for them.
    """
    same = next((i for i, w in enumerate(waiting) if w.stack == turn.stack), None)
    other = next((i for i, w in enumerate(waiting) if w.stack != turn.stack), None)
    if same is None or other is None:
        return 0
    is_patient = now_s - waiting[other].since_s <= rules.patience_s
    return same if is_patient or now_s - turn.since_s < rules.turn_of(turn) else other


def companions(waiting: Sequence[Waiting], first: int, most_rows: int) -> tuple[int, ...]:
    """The requests that share a forward with that one: it and others of its shape, up to so many pictures in all.

    Those for the same stack come first, then, if they mix, those for others, each in order of arrival.
    """
    head = waiting[first]
    chosen, rows = [first], head.rows
    if head.shape is None:
        return (first,)
    others = [i for i, w in enumerate(waiting) if i != first and w.shape == head.shape]
    same = [i for i in others if waiting[i].stack == head.stack]
    mixing = [i for i in others if waiting[i].stack != head.stack and head.mixes and waiting[i].mixes]
    # A stack that does not mix shares a forward with its own kind only.
    for i in (*same, *mixing):
        if rows + waiting[i].rows <= most_rows:
            chosen.append(i)
            rows += waiting[i].rows
    return tuple(sorted(chosen))


def following(waiting: Sequence[Waiting], turn: Turn) -> tuple[int, ...]:
    """Indices of the requests whose stacks will be wanted next, as far as can be told now: the first of each stack.

    The stack in force goes on, then the others come in order of arrival.
    """
    first: dict[Stack, int] = {}
    for i, w in enumerate(waiting):
        first.setdefault(w.stack, i)
    return tuple(sorted(first.values(), key=lambda i: (waiting[i].stack != turn.stack, i)))
