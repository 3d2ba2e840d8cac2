"""One admitted request on its way through the queue."""

import asyncio
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from lorapool_runtime.adapters.file import Chosen
from lorapool_runtime.engine.contract import Order, Recipe, Rendering, Step, Use, unheard
from lorapool_runtime.queue.policy import Stack, Waiting


@dataclass(frozen=True)
class Outcome:
    """What the engine made, and how long the request waited for it."""

    rendering: Rendering
    queue_s: float


@dataclass(frozen=True)
class Wish:
    """What somebody asks the queue for.

    Attributes:
        on_step: told of each step, on the event loop.
        previews: how many of the steps show the picture.
    """

    recipe: Recipe
    stack: tuple[Chosen, ...] = ()
    on_step: Callable[[Step], None] = unheard
    previews: int = 0


@dataclass(eq=False)
class Job:
    """A request in the queue.

    Attributes:
        deadline_s: on the queue's clock; after it nobody wants the answer.
        abandoned: set when the client has gone.
    """

    wish: Wish
    arrived_s: float
    deadline_s: float
    result: asyncio.Future[Outcome]
    abandoned: threading.Event = field(default_factory=threading.Event)

    @property
    def key(self) -> Stack:
        return tuple((chosen.file.identity, chosen.scale) for chosen in self.wish.stack)

    @property
    def identities(self) -> tuple[str, ...]:
        """The adapters whose weights it needs."""
        return tuple(chosen.file.identity for chosen in self.wish.stack)

    def waiting(self, *, mixes: bool) -> Waiting:
        """As the choice sees it. `mixes`: whether it may share a forward with requests for other adapters."""
        recipe = self.wish.recipe
        return Waiting(self.key, self.arrived_s, recipe.shape, mixes, recipe.images)

    def is_over(self, clock: Callable[[], float]) -> bool:
        """Whether to give it up. Asked by the engine between two steps."""
        return self.abandoned.is_set() or clock() > self.deadline_s

    def order(self, uses: Sequence[Use], clock: Callable[[], float]) -> Order:
        """The request for the engine, which works on another thread than the one that hears of its steps."""
        wish, loop = self.wish, self.result.get_loop()

        def on_step(step: Step) -> None:
            loop.call_soon_threadsafe(wish.on_step, step)

        told = unheard if wish.on_step is unheard else on_step
        return Order(wish.recipe, tuple(uses), lambda: self.is_over(clock), told, wish.previews)
