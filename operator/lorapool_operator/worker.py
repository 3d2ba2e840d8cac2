"""One worker per pool: a pass whenever something happened, and now and then when nothing did."""

import asyncio
import random
import time
from typing import Final

import structlog

from lorapool_operator.backoff import Backoff
from lorapool_operator.context import Context
from lorapool_operator.reconcile import Reconciler

log = structlog.get_logger(__name__)

COALESCE_S: Final = 0.05
RECHECK_S: Final = 60.0


class Worker:
    """Runs the passes of one pool, also of one that adapters name but nobody made."""

    def __init__(self, key: str, context: Context) -> None:
        self._key = key
        self._ctx = context
        self._woken = asyncio.Event()
        self._reconciler = Reconciler(key, context, self.wake)

    def wake(self) -> None:
        """Have a pass soon. Any number of calls before it make one pass."""
        self._woken.set()

    async def run(self) -> None:
        """Passes until nobody names the pool any more."""
        backoff = Backoff(0.5, 30.0)
        self.wake()
        try:
            while True:
                await self._wait()
                if await self._pass():
                    backoff.reset()
                    if self._key not in self._ctx.store.known_pools():
                        return
                else:
                    await asyncio.sleep(backoff.next())
                    self.wake()
        finally:
            self._reconciler.close()

    async def _wait(self) -> None:
        try:
            async with asyncio.timeout(RECHECK_S * random.uniform(0.8, 1.2)):  # noqa: S311 -- not for secrets
                await self._woken.wait()
        except TimeoutError:
            self._reconciler.refresh()
        await asyncio.sleep(COALESCE_S)
        self._woken.clear()

    async def _pass(self) -> bool:
        began = time.monotonic()
        try:
            done = await self._reconciler.run()
        except Exception:  # whatever goes wrong with a pass must not end its worker
            log.exception("a pass failed", pool=self._key)
            done = False
        self._ctx.metrics.pass_seconds.observe(time.monotonic() - began)
        self._ctx.metrics.passes.labels("ok" if done else "failed").inc()
        return done


class Workers:
    """The workers of all pools; exists while this replica leads."""

    def __init__(self, context: Context) -> None:
        self._ctx = context
        self._running: dict[str, tuple[Worker, asyncio.Task[None]]] = {}

    def wake(self, key: str) -> None:
        """Have a pass over the pool soon, by a new worker if it has none."""
        if key not in self._running:
            worker = Worker(key, self._ctx)
            task = asyncio.create_task(worker.run(), name=f"pool {key}")
            self._running[key] = (worker, task)
            task.add_done_callback(lambda _: self._ended(key, worker))
        self._running[key][0].wake()

    def _ended(self, key: str, worker: Worker) -> None:
        running = self._running.get(key)
        if running is not None and running[0] is worker:
            del self._running[key]
            if not running[1].cancelled() and key in self._ctx.store.known_pools():
                self.wake(key)  # somebody named the pool in the worker's last moment

    async def stop(self) -> None:
        """End all at once: nothing is written after this returns."""
        tasks = [task for _, task in self._running.values()]
        self._running.clear()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
