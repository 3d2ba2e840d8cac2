"""The parts of one process, put together: what both ports talk to."""

import asyncio
import uuid
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import structlog

from lorapool_api.wire.config import RuntimeConfig
from lorapool_api.wire.state import BasePhase, PodState, ServingStatus, Tier
from lorapool_runtime.engine.contract import Engine
from lorapool_runtime.engine.keeper import BaseKeeper
from lorapool_runtime.metrics import Metrics
from lorapool_runtime.queue.dispatcher import Dispatcher
from lorapool_runtime.queue.job import Outcome
from lorapool_runtime.settings import Settings
from lorapool_runtime.store.blobs import BlobFolder
from lorapool_runtime.store.bring import Bringer
from lorapool_runtime.store.fetch import Fetcher, Rules
from lorapool_runtime.store.files import AdapterFile, HostAdapter
from lorapool_runtime.store.last_catalog import LastCatalog
from lorapool_runtime.store.memory import HostMemory
from lorapool_runtime.store.registry import Registry
from lorapool_runtime.store.versions import Versions

log = structlog.stdlib.get_logger(__name__)

# Reading files to host memory: requests wait for it, so a few at once.
_READERS = 2


@dataclass
class Pod:
    """One base, its adapters and its queue. Made and used on the event loop."""

    settings: Settings
    instance: str
    versions: Versions
    engine: Engine
    base: BaseKeeper
    memory: HostMemory
    registry: Registry
    dispatcher: Dispatcher
    metrics: Metrics
    last_catalog: LastCatalog
    bringer: Bringer
    threads: tuple[ThreadPoolExecutor, ...]
    stopping: bool = False

    @classmethod
    def build(cls, settings: Settings, engine: Engine, started_s: float) -> "Pod":
        """Wire the parts; nothing runs yet. Needs a running event loop.

        `started_s` is the process's start on the clock of `time.monotonic`.
        """
        config = settings.config
        engine_thread = ThreadPoolExecutor(1, "engine")
        readers = ThreadPoolExecutor(_READERS, "read")
        ahead_thread = ThreadPoolExecutor(1, "ahead")
        versions, metrics = Versions(), Metrics()
        blobs = BlobFolder(settings.cache, config.budgets.disk_bytes)
        bringer = Bringer(Fetcher(blobs, Rules.of(config, settings.pod_root)), blobs, config.max_rank)
        base = BaseKeeper(engine, engine_thread, versions, started_s)

        async def read(file: AdapterFile) -> HostAdapter:
            return await asyncio.get_running_loop().run_in_executor(readers, engine.read, file)

        def rendered(outcome: Outcome) -> None:
            metrics.rendered(outcome)
            registry.refresh_tiers()

        async def to_device(adapter: HostAdapter) -> None:
            await asyncio.get_running_loop().run_in_executor(ahead_thread, engine.look_ahead, [adapter])

        memory = HostMemory(config.budgets.host_bytes, read)
        registry = Registry(versions, bringer, memory, engine, base.modules, to_device)
        dispatcher = Dispatcher(
            engine,
            engine_thread,
            ahead_thread,
            config.serving.max_pending,
            config.serving.request_timeout_seconds,
            on_rendered=rendered,
        )
        last = LastCatalog(settings.cache, config.pool)
        instance = uuid.uuid4().hex
        threads = (engine_thread, readers, ahead_thread)
        return cls(
            settings, instance, versions, engine, base, memory, registry, dispatcher, metrics, last, bringer, threads
        )

    @property
    def config(self) -> RuntimeConfig:
        return self.settings.config

    @property
    def is_ready(self) -> bool:
        """Base warm, catalog there, not stopping."""
        warm = self.base.state.phase is BasePhase.WARM
        return warm and self.registry.digest is not None and not self.stopping

    def state(self, since: int | None = None) -> PodState:
        """The state for the operator: complete, or what changed since a version."""
        complete = since is None or self.registry.removed_since(since)
        return PodState(
            instance=self.instance,
            version=self.versions.current,
            digest=self.registry.digest,
            base=self.base.state,
            complete=complete,
            adapters=self.registry.states(None if complete else since),
        )

    def status(self) -> ServingStatus:
        """The state for the gateway."""
        return ServingStatus(
            instance=self.instance,
            digest=self.registry.digest,
            ready=self.is_ready,
            pending=self.dispatcher.pending,
            running=self.dispatcher.running,
            max_pending=self.config.serving.max_pending,
            tiers=self.registry.tiers(),
        )

    def held_bytes(self) -> dict[Tier, int]:
        """Memory that adapters take."""
        return {Tier.DEVICE: self.engine.device_bytes, Tier.HOST: self.memory.size_bytes}

    def restore_catalog(self) -> None:
        """Serve on with what the cache folder remembers."""
        catalog = self.last_catalog.read()
        if catalog is not None and self.registry.digest is None:
            log.info("serving on with the last catalog", digest=catalog.digest[:12], adapters=len(catalog.entries))
            self.registry.replace(catalog)

    def keep_catalog(self) -> None:
        """Remember the catalog for the next process in this pod."""
        catalog = self.registry.catalog()
        if catalog is not None:
            self.last_catalog.write(catalog)

    async def stop(self, grace_s: float) -> None:
        """Refuse new work and finish what runs, within the grace period."""
        self.stopping = True
        await self.dispatcher.stop(grace_s)
        await self.registry.close()
        self.bringer.close()
        for executor in self.threads:
            executor.shutdown(wait=False, cancel_futures=True)
