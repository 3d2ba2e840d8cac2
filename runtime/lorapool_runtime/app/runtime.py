"""The parts of one process, put together: what both ports talk to."""

import asyncio
import uuid
from collections.abc import Coroutine, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Final

import structlog

from lorapool_api.kinds.runtime import Device
from lorapool_api.wire.config import RuntimeConfig
from lorapool_api.wire.state import AdapterState, BasePhase, PodState, ServingStatus, Tier
from lorapool_runtime.adapters.check import check_file
from lorapool_runtime.adapters.file import AdapterFile, HostAdapter
from lorapool_runtime.app.health import Health, Watchdog
from lorapool_runtime.app.metrics import Metrics
from lorapool_runtime.app.readiness import Readiness
from lorapool_runtime.catalog.checks import Checks
from lorapool_runtime.catalog.host_cache import HostCache
from lorapool_runtime.catalog.readers import Readers
from lorapool_runtime.catalog.registry import Registry
from lorapool_runtime.catalog.saved import CatalogFile, CatalogWriter, SavedCatalog
from lorapool_runtime.engine.contract import Engine
from lorapool_runtime.engine.loader import BaseLoader
from lorapool_runtime.queue.dispatcher import Dispatcher
from lorapool_runtime.queue.entry import Outcome
from lorapool_runtime.settings import Settings
from lorapool_runtime.sources.blobs import BlobFolder
from lorapool_runtime.sources.fetch import Fetcher, SourceRules
from lorapool_runtime.sources.loader import FileLoader
from lorapool_runtime.versions import Versions

log = structlog.get_logger(__name__)

# An engine that takes so much longer than its request's time hangs. On a CPU a single step can take minutes.
_HUNG_AFTER_S: Final = {Device.CUDA: 30.0, Device.CPU: 600.0}


@dataclass
class Runtime:
    """One base, its adapters and its queue. Made and used on the event loop."""

    settings: Settings
    instance: str
    versions: Versions
    engine: Engine
    base: BaseLoader
    memory: HostCache
    registry: Registry
    dispatcher: Dispatcher
    metrics: Metrics
    health: Health
    watchdog: Watchdog
    readiness: Readiness
    last_catalog: CatalogFile
    catalog_writer: CatalogWriter
    closing: tuple[FileLoader | Checks | Readers, ...]
    threads: tuple[ThreadPoolExecutor, ...]
    stopping: bool = False

    @classmethod
    def build(cls, settings: Settings, engine: Engine, started_s: float) -> "Runtime":
        """Wire the parts; nothing runs yet. Needs a running event loop.

        Args:
            started_s: the process's start on the clock of `time.monotonic`.
        """
        config = settings.config
        engine_thread = ThreadPoolExecutor(1, "engine")
        prefetch_thread = ThreadPoolExecutor(1, "prefetch")
        versions, metrics, health = Versions(), Metrics(), Health()
        blobs = BlobFolder(settings.cache, config.budgets.disk_bytes)
        loader = FileLoader(Fetcher(blobs, SourceRules.of(config, settings.pod_root)), blobs, config.max_rank)
        base = BaseLoader(engine, engine_thread, versions, started_s)

        def read(file: AdapterFile) -> HostAdapter:
            """On a thread. A file that an earlier process has checked is checked again before its first use."""
            if blobs.prove(file.sha256):
                check_file(file.path, config.max_rank)
            return engine.read(file)

        def rendered(outcome: Outcome) -> None:
            metrics.rendered(outcome)
            registry.refresh_tiers()

        def kept() -> SavedCatalog | None:
            catalog = registry.catalog()
            return None if catalog is None else SavedCatalog(catalog, frozenset(registry.ready))

        def hung(why: str) -> None:
            health.fail(why)
            dispatcher.lose(why)

        async def to_device(adapter: HostAdapter) -> None:
            await asyncio.get_running_loop().run_in_executor(prefetch_thread, engine.prefetch, [adapter])

        readers = Readers(read)
        memory = HostCache(config.budgets.host_bytes, readers)
        checks = Checks(blobs, memory, base.warm, f"{config.engine} {config.model.dtype} {config.device}")
        last = CatalogFile(settings.cache, config.pool)
        writer = CatalogWriter(last, kept)
        registry = Registry(versions, loader, memory, engine, checks.check, to_device, writer.changed)
        dispatcher = Dispatcher(
            engine,
            engine_thread,
            prefetch_thread,
            memory,
            registry.load,
            config.serving.max_pending,
            config.serving.request_timeout_seconds,
            on_rendered=rendered,
            on_lost=health.fail,
        )
        hung_after_s = _HUNG_AFTER_S[config.device] if settings.hung_seconds is None else settings.hung_seconds
        return cls(
            settings=settings,
            instance=uuid.uuid4().hex,
            versions=versions,
            engine=engine,
            base=base,
            memory=memory,
            registry=registry,
            dispatcher=dispatcher,
            metrics=metrics,
            health=health,
            watchdog=Watchdog(lambda: dispatcher.overdue_s, hung_after_s, hung),
            readiness=Readiness(settings.ready_deadline_seconds),
            last_catalog=last,
            catalog_writer=writer,
            closing=(loader, checks, readers),
            threads=(engine_thread, prefetch_thread),
        )

    def work(self) -> Mapping[str, Coroutine[Any, Any, None]]:
        """What runs for as long as the process does, by name. None of it may end before."""
        return {
            "the queue": self.dispatcher.run(),
            "the watch over the engine": self.watchdog.run(),
            "the pod's service": self.health.lasts(),
            "the writer of the catalog": self.catalog_writer.run(),
        }

    @property
    def config(self) -> RuntimeConfig:
        return self.settings.config

    @property
    def is_ready(self) -> bool:
        """Whether it takes requests: see `not_ready`."""
        return self.not_ready is None

    @property
    def not_ready(self) -> str | None:
        """Why the pod takes no requests; None: it does.

        It does with a warm base and a catalog, as soon as it serves what the process before it served.
        """
        if self.health.failure is not None:
            return self.health.failure
        if self.stopping:
            return "stopping"
        if self.base.state.phase is not BasePhase.WARM:
            return f"base model {self.base.state.phase}: {self.base.state.message}"
        if self.registry.digest is None:
            return "no catalog has arrived"
        if not self.readiness.is_complete(self.registry.is_on_its_way):
            return f"{len(self.readiness.missing)} adapters that were served before are still on their way"
        return None

    def state(self, since: int | None = None) -> PodState:
        """The state for the operator: complete, or what changed since a version."""
        complete = since is None or self.registry.removed_since(since) != ()
        return self._state(complete=complete, adapters=self.registry.states(None if complete else since))

    def state_of(self, keys: Iterable[str]) -> PodState:
        """The state for the operator, of these adapters alone."""
        return self._state(complete=False, adapters=self.registry.states(keys=keys))

    def _state(self, *, complete: bool, adapters: dict[str, AdapterState]) -> PodState:
        return PodState(
            instance=self.instance,
            version=self.versions.current,
            digest=self.registry.digest,
            base=self.base.state,
            complete=complete,
            adapters=adapters,
        )

    def status(self, since: int | None = None) -> ServingStatus:
        """The state for the gateway: with the tiers of all adapters, or of those that changed since a version."""
        changes = None if since is None else self.registry.tier_index.since(since)
        tiers, gone = (self.registry.tiers(), ()) if changes is None else changes
        return ServingStatus(
            instance=self.instance,
            digest=self.registry.digest,
            ready=self.is_ready,
            pending=self.dispatcher.pending,
            running=self.dispatcher.running,
            max_pending=self.config.serving.max_pending,
            version=self.versions.current,
            complete=changes is None,
            tiers=tiers,
            gone=gone,
        )

    def held_bytes(self) -> dict[Tier, int]:
        """Memory that adapters take."""
        return {Tier.DEVICE: self.engine.device_bytes, Tier.HOST: self.memory.size_bytes}

    def restore_catalog(self) -> None:
        """Serve on with what the cache folder remembers."""
        kept = self.last_catalog.read()
        if kept is not None and self.registry.digest is None:
            entries, served = kept.catalog.entries, kept.ready
            log.info("serving on with the last catalog", adapters=len(entries), served=len(served))
            self.readiness.expect(served)
            self.registry.replace(kept.catalog)

    async def stop(self, grace_s: float) -> None:
        """Refuse new work and finish what runs, within the grace period."""
        self.stopping = True
        await self.dispatcher.stop(grace_s)
        # An operator that waits for news would hold up the end of the process for as long as it waits.
        self.versions.close()
        await self.catalog_writer.flush()
        await self.registry.close()
        for part in self.closing:
            part.close()
        for executor in self.threads:
            executor.shutdown(wait=False, cancel_futures=True)
