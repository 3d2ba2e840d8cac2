"""The ends of requests that the engine has left, beside the next ones."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Final

import structlog

from lorapool_runtime.engine.result import Rendering, Result, Unfinished
from lorapool_runtime.errors import RuntimeFailure
from lorapool_runtime.queue import answers
from lorapool_runtime.queue.engine_thread import Clock, EngineThread
from lorapool_runtime.queue.entry import Outcome, QueueEntry
from lorapool_runtime.queue.scheduler import Scheduler

log = structlog.get_logger(__name__)

# Batches whose end the engine does not wait for: their pixels take memory.
_MOST: Final = 2


class Endings:
    """Finishes and answers batches. Lives on the event loop.

    Attributes:
        busy_s: for how long batches have been made or finished; what two share counts once.
    """

    def __init__(
        self,
        thread: EngineThread,
        scheduler: Scheduler,
        timeout_s: float,
        on_rendered: Callable[[Outcome], None],
        on_ended: Callable[[], None],
        clock: Clock,
    ) -> None:
        """`on_ended` is called after the end of a batch that went on by itself."""
        self._thread = thread
        self._scheduler = scheduler
        self._timeout_s = timeout_s
        self._on_rendered = on_rendered
        self._on_ended = on_ended
        self._clock = clock
        self._batches: dict[asyncio.Task[None], Sequence[QueueEntry]] = {}
        self._counted_s = clock()
        self.busy_s = 0.0

    @property
    def entries(self) -> Sequence[QueueEntry]:
        """Requests of batches that are not finished."""
        return [entry for batch in self._batches.values() for entry in batch]

    @property
    def is_any(self) -> bool:
        """Any thread."""
        return bool(self._batches)

    async def room(self) -> None:
        """Wait until the engine may begin one more batch."""
        while len(self._batches) >= _MOST:
            await asyncio.wait(self._batches, return_when=asyncio.FIRST_COMPLETED)

    async def begin(self, batch: Sequence[QueueEntry], results: Sequence[Result], started_s: float) -> None:
        """Answer a batch: now what is finished, by and by what is not."""
        end = self._end(batch, results, started_s)
        if not any(isinstance(result, Unfinished) for result in results):
            await end
            return
        task = asyncio.create_task(end)
        self._batches[task] = batch
        task.add_done_callback(self._ended)

    def cancel(self) -> None:
        for task in tuple(self._batches):
            task.cancel()

    def count(self, started_s: float) -> float:
        """A batch that began then was worked on until now, which is returned."""
        now_s = self._clock()
        self.busy_s += now_s - max(started_s, self._counted_s)
        self._counted_s = now_s
        return now_s

    async def _end(self, batch: Sequence[QueueEntry], results: Sequence[Result], started_s: float) -> None:
        """What fails concerns each request alone."""
        try:
            finished = []
            for entry, result in zip(batch, results, strict=True):
                finished.append(await self._thread.finish(entry, result))
                self._answer(entry, finished[-1], started_s)
            self._scheduler.switched(batch[0].stack_id, max(map(_switch_s, finished)))
            await self._thread.check_after_defects()
        except Exception as error:  # noqa: BLE001 -- a defect here is these requests' failure, not the queue's end
            for entry in batch:
                answers.refuse(entry, answers.defect(error))
        finally:
            self.count(started_s)

    def _ended(self, task: asyncio.Task[None]) -> None:
        del self._batches[task]
        self._on_ended()

    def _answer(self, entry: QueueEntry, result: Rendering | RuntimeFailure, started_s: float) -> None:
        if isinstance(result, RuntimeFailure):
            answers.refuse(entry, answers.request_error(result, entry, self._timeout_s))
            return
        outcome = Outcome(result, started_s - entry.arrived_s, entry.read_s)
        if not entry.answer.done():
            entry.answer.set_result(outcome)
        try:
            self._on_rendered(outcome)
        except Exception:
            log.exception("what follows a picture failed; the picture was made")


def _switch_s(result: Rendering | RuntimeFailure) -> float:
    """What it took to activate the request's adapters."""
    return 0.0 if isinstance(result, RuntimeFailure) else result.load_s + result.switch_s
