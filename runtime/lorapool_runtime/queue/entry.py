"""One admitted request on its way through the queue."""

import asyncio
import threading
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field

from lorapool_api.wire.state import Tier
from lorapool_runtime.adapters.file import AdapterFile, HostAdapter, ScaledAdapter
from lorapool_runtime.engine.contract import RenderRequest, Step, no_steps
from lorapool_runtime.engine.result import Applied, Rendering
from lorapool_runtime.queue.fair.shares import DueWork
from lorapool_runtime.queue.fair.terms import NO_TERMS, QueueTerms
from lorapool_runtime.queue.policy import StackId


@dataclass(frozen=True)
class Outcome:
    """What the engine made, and how long the request waited for it.

    Attributes:
        read_s: of that, how long its adapters were read from disk; 0: they were in memory when it came.
    """

    rendering: Rendering
    queue_s: float
    read_s: float = 0.0

    @property
    def tier(self) -> Tier | None:
        """The farthest tier that an adapter was brought from for it; None: it has none."""
        if self.rendering.applied is Applied.NONE:
            return None
        if self.read_s > 0:
            return Tier.DISK
        return Tier.HOST if self.rendering.loads else Tier.DEVICE


@dataclass(eq=False)
class QueueEntry:
    """A request in the queue, and on the engine.

    Attributes:
        request: its `on_step` is called on the event loop.
        deadline_s: on the queue's clock; after it nobody wants the answer.
        abandoned: set when the client has gone.
        weights: its adapters in host memory, held there from its turn on; empty before.
        read_s: how long they were read from disk for it.
        terms: on which it waits.
    """

    request: RenderRequest[AdapterFile]
    arrived_s: float
    deadline_s: float
    answer: asyncio.Future[Outcome]
    abandoned: threading.Event = field(default_factory=threading.Event)
    weights: tuple[ScaledAdapter[HostAdapter], ...] = ()
    read_s: float = 0.0
    terms: QueueTerms = NO_TERMS

    @property
    def stack_id(self) -> StackId:
        return tuple((scaled.adapter.identity, scaled.scale) for scaled in self.request.stack)

    @property
    def keys(self) -> tuple[str, ...]:
        """Of the adapters of its stack."""
        return tuple(scaled.key for scaled in self.request.stack)

    @property
    def identities(self) -> tuple[str, ...]:
        """The adapters whose weights it needs."""
        return tuple(scaled.adapter.identity for scaled in self.request.stack)

    @property
    def shape(self) -> Hashable:
        return self.request.recipe.shape

    @property
    def images(self) -> int:
        return self.request.recipe.images

    def is_over(self, clock: Callable[[], float]) -> bool:
        """Whether to give it up. Asked by the engine between two steps."""
        return self.abandoned.is_set() or clock() > self.deadline_s

    def for_engine(self, clock: Callable[[], float]) -> RenderRequest[HostAdapter]:
        """The request with its weights, for the engine, which works on another thread than the event loop."""
        request, loop = self.request, self.answer.get_loop()

        def on_step(step: Step) -> None:
            loop.call_soon_threadsafe(request.on_step, step)

        report = no_steps if request.on_step is no_steps else on_step
        return RenderRequest(request.recipe, self.weights, report, request.previews, lambda: self.is_over(clock))


@dataclass(frozen=True)
class Admitted:
    """A request that may wait for its turn, and on what terms.

    Attributes:
        writes_recipe: whether the files of its images say how they were made.
    """

    request: RenderRequest[AdapterFile]
    terms: QueueTerms = NO_TERMS
    writes_recipe: bool = False


@dataclass(frozen=True)
class QueueLoad:
    """The requests of a queue at one moment.

    Attributes:
        running: those that the engine works on.
        running_s: for how long it has.
        active: keys of the stack that it applied last.
        due: what would be due before one more request; None: nobody knows.
    """

    waiting: Sequence[QueueEntry]
    running: Sequence[QueueEntry]
    running_s: float
    active: tuple[str, ...]
    due: DueWork | None = None
