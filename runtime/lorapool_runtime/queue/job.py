"""One admitted request on its way through the queue."""

import asyncio
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from lorapool_runtime.engine.contract import Recipe, Rendering, Use
from lorapool_runtime.queue.choice import Stack, Waiting


@dataclass(frozen=True)
class Outcome:
    """What the engine made, and how long the request waited for it."""

    rendering: Rendering
    queue_s: float


@dataclass(eq=False)
class Job:
    """A request with everything that it needs in host memory.

    Attributes:
        deadline_s: on the queue's clock; after it nobody wants the answer.
        abandoned: set when the client has gone.
    """

    recipe: Recipe
    stack: tuple[Use, ...]
    arrived_s: float
    deadline_s: float
    result: asyncio.Future[Outcome]
    abandoned: threading.Event = field(default_factory=threading.Event)

    @property
    def key(self) -> Stack:
        return tuple((use.adapter.identity, use.scale) for use in self.stack)

    def waiting(self) -> Waiting:
        return Waiting(self.key, self.arrived_s)

    def is_over(self, clock: Callable[[], float]) -> bool:
        """Whether to give it up. Asked by the engine between two steps."""
        return self.abandoned.is_set() or clock() > self.deadline_s
