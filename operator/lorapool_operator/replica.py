"""The running operator: watches always, acts while it leads."""

import asyncio
import logging
import signal
from collections.abc import Coroutine
from contextlib import AsyncExitStack
from typing import Any, Final

import kopf
import structlog

from lorapool_operator.act.control import Control
from lorapool_operator.act.events import Recorder
from lorapool_operator.act.header import http_client
from lorapool_operator.act.hub import Hub
from lorapool_operator.act.kube import ADAPTERS, POOLS, ApiError, Kube
from lorapool_operator.act.pods import PUSHES_AT_ONCE
from lorapool_operator.act.resolver import Resolver
from lorapool_operator.context import Context
from lorapool_operator.handlers import registry
from lorapool_operator.health import serve_health
from lorapool_operator.leader import DEFAULT_TIMES, Election, Times
from lorapool_operator.metrics import Metrics
from lorapool_operator.settings import Settings
from lorapool_operator.store import Store
from lorapool_operator.sync import Sync
from lorapool_operator.watching import watch_settings
from lorapool_operator.worker import Workers

log = structlog.get_logger(__name__)

_CRD_RETRY_S: Final = 2.0


class Operator:
    """One replica."""

    def __init__(self, settings: Settings, key: bytes, times: Times = DEFAULT_TIMES) -> None:
        self._settings = settings
        self._key = key
        self._times = times
        self._metrics = Metrics()
        self._store = Store()
        self._stop = asyncio.Event()
        self._watching = asyncio.Event()

    def stop(self) -> None:
        self._stop.set()

    async def run(self) -> None:
        """Until told to stop by `stop` or a signal. Gives up leading first, so that another takes over at once."""
        settings = self._settings
        async with AsyncExitStack() as stack:
            kube = await stack.enter_async_context(await Kube.connect())
            health = await serve_health(settings.address, settings.port, self._metrics, self._watching.is_set)
            stack.push_async_callback(health.cleanup)
            await self._until_stopped(self._wait_for_crds(kube))
            if self._stop.is_set():
                return
            context = await self._context(kube, stack)
            # A connection of its own: behind a thousand waiting writes the Lease would be over before it is renewed.
            lease_kube = await stack.enter_async_context(await Kube.connect())
            election = Election(lease_kube, settings.namespace, settings.lease, settings.identity, self._times)
            await self._watch_and_lead(context, election)

    async def _context(self, kube: Kube, stack: AsyncExitStack) -> Context:
        control, http = Control(), http_client()
        stack.push_async_callback(control.close)
        stack.push_async_callback(http.aclose)
        return Context(
            settings=self._settings,
            key=self._key,
            store=self._store,
            kube=kube,
            control=control,
            resolver=Resolver(
                Hub(self._settings.hf_endpoint),
                http,
                self._settings.url_hosts,
                lambda pool: self._store.on_change(pool),
            ),
            recorder=Recorder(kube, self._settings.identity),
            metrics=self._metrics,
            pushes=asyncio.Semaphore(PUSHES_AT_ONCE),
        )

    async def _watch_and_lead(self, context: Context, election: Election) -> None:
        stop_watching = asyncio.Event()
        watching = asyncio.create_task(self._watch(stop_watching), name="watch")
        leading = asyncio.create_task(election.run(lambda: self._lead(context)), name="lead")
        stopping = asyncio.create_task(self._stop.wait())
        try:
            await self._take_signals()
            await asyncio.wait((watching, leading, stopping), return_when=asyncio.FIRST_COMPLETED)
        finally:
            # kopf waits 5 s for tasks that it does not know: ours end before it does.
            for task in (leading, stopping):
                task.cancel()
            await asyncio.gather(leading, stopping, return_exceptions=True)
            stop_watching.set()
            await asyncio.gather(watching, return_exceptions=True)
        for task in (watching, leading):
            if not task.cancelled() and (failure := task.exception()) is not None:
                raise failure

    async def _watch(self, stop: asyncio.Event) -> None:
        namespaces = self._settings.namespaces
        logging.getLogger("kopf.objects").setLevel(logging.WARNING)  # it tells of every event that was handled
        await kopf.operator(
            registry=registry(self._store, watch_namespaces=not namespaces),
            settings=watch_settings(),
            clusterwide=not namespaces,
            namespaces=namespaces,
            standalone=True,
            stop_flag=stop,
            ready_flag=self._watching,
        )

    async def _take_signals(self) -> None:
        """kopf installs handlers of its own when it starts; ours must come after them."""
        await self._until_stopped(self._watching.wait())
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.stop)

    async def _lead(self, context: Context) -> None:
        """Act until cancelled."""
        sync = Sync(context.kube, self._store, self._settings.namespaces)
        await sync.run_until_done()
        workers = Workers(context)
        self._metrics.leader.set(1)
        self._store.on_change = workers.wake
        try:
            for pool in self._store.known_pools():
                workers.wake(pool)
            await asyncio.gather(context.recorder.run(), sync.run_now_and_then())
        finally:
            self._store.on_change = _nobody
            self._metrics.leader.set(0)
            await workers.stop()
            context.resolver.close()

    async def _wait_for_crds(self, kube: Kube) -> None:
        """kopf only sees kinds that are there when it starts."""
        while not await _serves_both(kube):
            log.warning("waiting for the custom resource definitions and the API server")
            await asyncio.sleep(_CRD_RETRY_S)

    async def _until_stopped(self, work: Coroutine[Any, Any, Any]) -> None:
        """Wait for the work, but not longer than until the operator is told to stop."""
        tasks = (asyncio.ensure_future(work), asyncio.ensure_future(self._stop.wait()))
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            task.cancel()


async def _serves_both(kube: Kube) -> bool:
    try:
        return await kube.serves(POOLS) and await kube.serves(ADAPTERS)
    except ApiError:
        return False


def _nobody(_: str) -> None:
    """Whoever does not lead wakes nobody."""
