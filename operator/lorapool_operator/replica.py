"""The running operator: watches always, acts while it leads."""

import asyncio
import logging
import time
from collections.abc import Collection
from contextlib import AsyncExitStack
from typing import Any, Final, cast

import kopf
import structlog

from lorapool_api.names import FIELD_MANAGER
from lorapool_common.backoff import Backoff
from lorapool_common.http.listening import bound_socket
from lorapool_common.kube.client import Kube
from lorapool_common.kube.errors import AccessError, ApiError
from lorapool_common.kube.reflector import Reflector
from lorapool_common.kube.resources import ADAPTERS, PODS, POOLS, Selection
from lorapool_common.process import CannotStart, Process
from lorapool_operator.cluster.cache import ObjectCache
from lorapool_operator.cluster.dropped_policies import drop_policies
from lorapool_operator.cluster.events import Recorder
from lorapool_operator.cluster.lease import DEFAULT_TIMES, Election, Times
from lorapool_operator.cluster.secrets import SecretReader
from lorapool_operator.cluster.watching.adapters import adapter_reflectors, were_just_listed
from lorapool_operator.cluster.watching.handlers import registry
from lorapool_operator.cluster.watching.kopf_settings import FAILURES_OF_WATCHES, watch_settings
from lorapool_operator.cluster.watching.relist import Relister
from lorapool_operator.health import serve_health
from lorapool_operator.metrics import Metrics
from lorapool_operator.pods.control import Control
from lorapool_operator.pods.links import PUSHES_AT_ONCE
from lorapool_operator.reconcile.context import Context
from lorapool_operator.reconcile.handovers import Handovers
from lorapool_operator.reconcile.worker import Workers
from lorapool_operator.scaling.autoscaler import Autoscaler
from lorapool_operator.scaling.gateways import GatewayClient
from lorapool_operator.settings import InstallationKeys, Settings
from lorapool_operator.sources.artifacts.clients import ArtifactClients
from lorapool_operator.sources.bases import Bases
from lorapool_operator.sources.facts import FactsReader
from lorapool_operator.sources.header import Headers
from lorapool_operator.sources.hub import HubClient
from lorapool_operator.sources.look import SourceReader
from lorapool_operator.sources.measured import MeasuredSources
from lorapool_operator.sources.resolver import Resolver, ResolverTimes

log = structlog.get_logger(__name__)

_CRD_RETRY_S: Final = 2.0
_KOPF_END_S: Final = 10.0
# Of watches whose fellow has failed, which never end by themselves.
_WATCHES_END_S: Final = 0.2
_FIRST_PAUSE_S: Final = 0.5
_MOST_PAUSE_S: Final = 5.0
_LONG_LIFE_S: Final = 30.0


class WatchFailed(Exception):
    """kopf cannot go on with what the API server said in a watch; an operator that lists everything anew can."""


async def serve(settings: Settings, keys: InstallationKeys, process: Process) -> None:
    """Operators one after the other, until the process is to stop. Raises: CannotStart."""
    backoff = Backoff(_FIRST_PAUSE_S, _MOST_PAUSE_S)
    while not process.is_stopping:
        began = time.monotonic()
        try:
            await Operator(settings, keys, process).run()
        except WatchFailed as error:
            log.warning("a watch has failed; everything is listed anew", error=str(error))
            if time.monotonic() - began > _LONG_LIFE_S:
                backoff.reset()
            await process.unless_stopped(asyncio.sleep(backoff.next()))


class Operator:
    """One replica."""

    def __init__(
        self, settings: Settings, keys: InstallationKeys, process: Process, times: Times = DEFAULT_TIMES
    ) -> None:
        self._settings = settings
        self._keys = keys
        self._process = process
        self._times = times
        self._metrics = Metrics()
        self._workers: Workers | None = None
        self._cache = ObjectCache(self._wake)
        self._watching = asyncio.Event()
        self._begun_anew = asyncio.Event()
        self._reflectors: tuple[Reflector, ...] = ()

    async def run(self) -> None:
        """Until the process is to stop. Gives up leading first, so that another takes over at once.

        Raises:
            CannotStart: the API server is not reached, or the port is taken.
            WatchFailed: as it says.
        """
        settings = self._settings
        async with AsyncExitStack() as stack:
            kube = await stack.enter_async_context(await self._connect())
            try:
                listener = bound_socket(settings.address, settings.port)
            except OSError as error:
                raise CannotStart(f"{settings.address} port {settings.port}: {error.strerror}") from error
            health = await serve_health(listener, self._metrics, self._watching.is_set)
            stack.push_async_callback(health.cleanup)
            if not await self._process.unless_stopped(self._wait_for_crds(kube)):
                return
            context = await self._context(kube, stack)
            # A connection of its own: behind a thousand waiting writes the Lease would be over before it is renewed.
            lease_kube = await stack.enter_async_context(await self._connect())
            election = Election(lease_kube, settings.namespace, settings.lease, settings.identity, self._times)
            await self._watch_and_lead(context, election, kube)

    async def _connect(self) -> Kube:
        try:
            return await Kube.connect(FIELD_MANAGER, self._metrics.api.observe)
        except AccessError as error:
            raise CannotStart(str(error)) from error

    def _autoscaler(self, kube: Kube, stack: AsyncExitStack) -> Autoscaler:
        client, labels = GatewayClient(), self._settings.gateway_selector
        stack.push_async_callback(client.close)
        gateways = Selection(PODS, self._settings.namespace, labels) if labels else None
        return Autoscaler(self._cache, kube, gateways, client, self._metrics, time.monotonic)

    async def _context(self, kube: Kube, stack: AsyncExitStack) -> Context:
        control, facts, secrets = Control(signer=self._keys.signer), FactsReader(), SecretReader(kube)
        headers = await stack.enter_async_context(Headers(self._settings.url_hosts))
        artifacts = ArtifactClients(self._settings.url_hosts, self._settings.civitai_endpoint)
        await stack.enter_async_context(artifacts)
        hub = HubClient(self._settings.hf_endpoint)
        reader = MeasuredSources(SourceReader(hub, headers, facts, artifacts, secrets), self._metrics)
        times = ResolverTimes(follow_s=self._settings.follow_s)
        stack.callback(facts.close)
        stack.push_async_callback(control.close)
        return Context(
            settings=self._settings,
            keys=self._keys,
            cache=self._cache,
            kube=kube,
            control=control,
            bases=Bases(hub, self._wake),
            secrets=secrets,
            scaler=self._autoscaler(kube, stack),
            resolver=Resolver(reader, self._cache.wake_pools_of, times=times),
            recorder=Recorder(kube, self._settings.identity),
            metrics=self._metrics,
            handovers=Handovers(self._cache),
            pushes=asyncio.Semaphore(PUSHES_AT_ONCE),
        )

    async def _watch_and_lead(self, context: Context, election: Election, kube: Kube) -> None:
        stop_watching = asyncio.Event()
        others = asyncio.all_tasks()
        self._reflectors = adapter_reflectors(kube, self._cache, self._settings.namespaces)
        adapters = [self._process.start("the watch of the adapters", each.run()) for each in self._reflectors]
        watching = await self._start_kopf(stop_watching)
        failed: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        watch = self._process.start("kopf, which watches the cluster", _first_result(watching, failed))
        leading = self._process.start(
            "the work of the leader", election.run(lambda: self._clean_and_lead(context, kube))
        )
        stopped = asyncio.create_task(self._process.stopped())
        try:
            await asyncio.wait((stopped, failed), return_when=asyncio.FIRST_COMPLETED)
        finally:
            stopped.cancel()
            # At its end kopf waits 5 s for tasks that it does not know, then cancels them: ours end before it does.
            await self._process.end(leading, *adapters, *((watch,) if failed.done() else ()))
            stop_watching.set()
            ending = asyncio.create_task(kopf.run_tasks(watching, ignored=others))
            for wait_s in (_KOPF_END_S if self._process.is_stopping else _WATCHES_END_S, _KOPF_END_S):
                done, _ = await asyncio.wait((ending,), timeout=wait_s)
                ending.cancel()
            await asyncio.gather(*done, return_exceptions=True)  # what failed in it was told before
        if failed.done():
            raise WatchFailed(failed.result())

    async def _start_kopf(self, stop: asyncio.Event) -> Collection[asyncio.Task[None]]:
        """kopf's tasks: none of them ends before it is told to."""
        namespaces = self._settings.namespaces
        logging.getLogger("kopf.objects").setLevel(logging.WARNING)  # it tells of every event that was handled
        tasks = await kopf.spawn_tasks(
            registry=registry(self._cache, self._begun_anew.set, watch_namespaces=not namespaces),
            settings=watch_settings(),
            clusterwide=not namespaces,
            namespaces=namespaces,
            standalone=True,
            # Else it asks for the user's name, and the user of a container has none. Its type is not public.
            identity=cast(Any, self._settings.identity),
            stop_flag=stop,
            ready_flag=self._watching,
        )
        self._process.take_signals()  # kopf has just taken them for itself
        return tasks

    def _wake(self, pool: str) -> None:
        """Whoever does not lead wakes nobody."""
        if self._workers is not None:
            self._workers.wake(pool)

    async def _clean_and_lead(self, context: Context, kube: Kube) -> None:
        if self._settings.network_peers is None:
            await drop_policies(kube, self._settings.namespaces)
        await self._lead(context)

    async def _lead(self, context: Context) -> None:
        """Act until cancelled."""
        relister = Relister(context.kube, self._cache, self._settings.namespaces, begun_anew=self._begun_anew)
        await relister.run_until_done(adapters=not await were_just_listed(self._reflectors))
        workers = self._workers = Workers(context)
        self._metrics.leader.set(1)
        try:
            self._cache.wake(self._cache.known_pools())
            await asyncio.gather(context.recorder.run(), relister.run_now_and_then(), context.scaler.run())
        finally:
            self._workers = None
            self._metrics.leader.set(0)
            await workers.stop()
            context.resolver.close()
            context.bases.close()

    async def _wait_for_crds(self, kube: Kube) -> None:
        """kopf only sees kinds that are there when it starts."""
        while not await _serves_both(kube):
            log.warning("waiting for the custom resource definitions and the API server")
            await asyncio.sleep(_CRD_RETRY_S)


async def _first_result(tasks: Collection[asyncio.Task[None]], failed: asyncio.Future[str]) -> None:
    """Wait until one of them ends; raise what it raised, unless that is a watch that cannot go on: `failed` says so."""
    done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    try:
        for task in done:
            task.result()
    except FAILURES_OF_WATCHES as error:
        failed.set_result(f"{type(error).__name__}: {error}")
        await asyncio.Event().wait()


async def _serves_both(kube: Kube) -> bool:
    try:
        return await kube.serves(POOLS) and await kube.serves(ADAPTERS)
    except ApiError:
        return False
