"""The long-running tasks of a process: one that ends without being told to ends the process."""

import asyncio
from collections.abc import Coroutine, Iterable
from typing import Any, Final

import structlog

log = structlog.get_logger(__name__)

# How long tasks that were cancelled may take to clean up.
CLEANUP_S: Final = 10.0


class TaskEnded(Exception):
    """A task that the process cannot do without has ended; the message says which and why."""

    def __init__(self, task: str, cause: BaseException | None) -> None:
        super().__init__(f"{task}: {_reason(cause)}")
        self.task = task
        self.reason = _reason(cause)


class Supervisor:
    """Keeps the tasks of a process and knows when it is to stop. Made and used on the event loop.

    The process is to stop when somebody calls `stop` (a signal does) or when a task ended unexpectedly, which is
    then the `failure`. Whoever runs the process waits for `stopped`, brings what runs to its end and returns.
    """

    def __init__(self) -> None:
        self.failure: TaskEnded | None = None
        self._stopping = asyncio.Event()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._ending: set[asyncio.Task[Any]] = set()

    @property
    def is_stopping(self) -> bool:
        return self._stopping.is_set()

    def stop(self) -> None:
        """Ask the process to end in good order."""
        self._stopping.set()

    async def stopped(self) -> None:
        """Wait until the process is to stop."""
        await self._stopping.wait()

    def start(self, name: str, work: Coroutine[Any, Any, Any], *, finishes: bool = False) -> asyncio.Task[Any]:
        """Run the work in a task of its own.

        Args:
            name: what people read when it ends unexpectedly, such as "the watch of the API server".
            work: runs until the process stops; an exception, a return or a cancellation before that stops it.
            finishes: it may return at any time, as a load does that is done once.
        """
        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(lambda done: self._ended(done, finishes))
        return task

    async def unless_stopped(self, work: Coroutine[Any, Any, Any]) -> bool:
        """Do the work, but give it up once the process is to stop; whether it was done. Raises what it raises."""
        doing = asyncio.create_task(work)
        waiting = asyncio.create_task(self._stopping.wait())
        try:
            await asyncio.wait((doing, waiting), return_when=asyncio.FIRST_COMPLETED)
        finally:
            waiting.cancel()
            if not doing.done():
                await self._cancel((doing,), CLEANUP_S)
        if doing.cancelled():
            return False
        doing.result()
        return True

    async def finish(self, *tasks: asyncio.Task[Any], within_s: float = CLEANUP_S) -> None:
        """Wait until tasks that were told to end have ended; cancel those that take longer. Never raises for them."""
        self._ending.update(tasks)
        if pending := await _wait(tasks, within_s):
            await self._cancel(pending, CLEANUP_S)

    async def end(self, *tasks: asyncio.Task[Any], within_s: float = CLEANUP_S) -> None:
        """Cancel tasks, all of them by default, and wait until they have cleaned up, but no longer than that."""
        await self._cancel(tasks or tuple(self._tasks), within_s)

    async def _cancel(self, tasks: Iterable[asyncio.Task[Any]], within_s: float) -> None:
        ending = [task for task in tasks if not task.done()]
        self._ending.update(ending)
        for task in ending:
            task.cancel()
        for task in await _wait(ending, within_s):
            log.warning("a task does not end", task=task.get_name(), waited_s=within_s)

    def _ended(self, task: asyncio.Task[Any], finishes: bool) -> None:
        self._tasks.discard(task)
        is_expected = task in self._ending
        self._ending.discard(task)
        cause = None if task.cancelled() else task.exception()
        if cause is None and ((finishes and not task.cancelled()) or is_expected or self.is_stopping):
            return
        failure = TaskEnded(task.get_name(), cause)
        log.error(
            "a task has ended unexpectedly; the process ends",
            task=failure.task,
            reason=failure.reason,
            exc_info=cause,
        )
        self.failure = self.failure or failure
        self.stop()


async def _wait(tasks: Iterable[asyncio.Task[Any]], timeout_s: float) -> set[asyncio.Task[Any]]:
    """Those that are still running after that time."""
    running = {task for task in tasks if not task.done()}
    if not running:
        return set()
    return (await asyncio.wait(running, timeout=timeout_s))[1]


def _reason(cause: BaseException | None) -> str:
    """The error in one line; of a group its first one."""
    while isinstance(cause, BaseExceptionGroup):
        cause = cause.exceptions[0]
    if cause is None:
        return "it returned, or was cancelled"
    lines = str(cause).splitlines()
    return f"{type(cause).__name__}: {lines[0]}" if lines else type(cause).__name__
