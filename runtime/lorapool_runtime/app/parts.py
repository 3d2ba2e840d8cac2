"""The parts of one process, put together."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final

from lorapool_api.kinds.runtime import Device
from lorapool_common.changes import Changes
from lorapool_runtime.adapters.check import check_file
from lorapool_runtime.adapters.file import AdapterFile, HostAdapter
from lorapool_runtime.app.health import Health, Watchdog
from lorapool_runtime.app.metrics import Metrics
from lorapool_runtime.catalog.fit_check import FitCheck
from lorapool_runtime.catalog.host_cache import HostCache
from lorapool_runtime.catalog.readers import Readers
from lorapool_runtime.catalog.registry import Registry
from lorapool_runtime.catalog.saved import CatalogFile, CatalogWriter, SavedCatalog
from lorapool_runtime.engine.contract import LoadEngine
from lorapool_runtime.engine.device_adapters import DeviceAdapters
from lorapool_runtime.engine.loader import BaseLoader
from lorapool_runtime.queue.dispatcher import Dispatcher
from lorapool_runtime.queue.entry import Outcome
from lorapool_runtime.settings import Settings
from lorapool_runtime.sources.blobs import BlobFolder
from lorapool_runtime.sources.fetch import Fetcher, SourceRules
from lorapool_runtime.sources.loader import FileLoader

# An engine that takes so much longer than its request's time hangs. On a CPU a single step can take minutes.
_HUNG_AFTER_S: Final = {Device.CUDA: 30.0, Device.CPU: 600.0}


@dataclass(frozen=True)
class RuntimeParts:
    """What `Runtime` works with. Nothing of it runs yet."""

    changes: Changes
    metrics: Metrics
    health: Health
    watchdog: Watchdog
    base: BaseLoader
    device: DeviceAdapters
    host: HostCache
    registry: Registry
    dispatcher: Dispatcher
    catalog_file: CatalogFile
    catalog_writer: CatalogWriter
    closing: tuple[FileLoader | FitCheck | Readers, ...]
    threads: tuple[ThreadPoolExecutor, ...]


def wire(settings: Settings, load: LoadEngine, started_s: float) -> RuntimeParts:
    """The parts. Needs a running event loop.

    Args:
        started_s: the process's start on the clock of `time.monotonic`.
    """
    config = settings.config
    engine_thread, prefetch_thread = ThreadPoolExecutor(1, "engine"), ThreadPoolExecutor(1, "prefetch")
    changes, metrics, health = Changes(), Metrics(), Health()
    blobs = BlobFolder(settings.cache, config.budgets.disk_bytes)
    files = FileLoader(Fetcher(blobs, SourceRules.of(config, settings.pod_root)), blobs, config.max_rank)
    base = BaseLoader(load, engine_thread, changes, started_s)
    device = DeviceAdapters(base.warm)

    def read(file: AdapterFile) -> HostAdapter:
        """On a thread. A file that an earlier process has checked is checked again before its first use."""
        if blobs.prove(file.sha256):
            check_file(file.path, config.max_rank)
        return base.engine().read(file)

    async def to_device(adapter: HostAdapter) -> None:
        await asyncio.get_running_loop().run_in_executor(prefetch_thread, base.engine().prefetch, [adapter])

    def saved() -> SavedCatalog | None:
        catalog = registry.catalog()
        return None if catalog is None else SavedCatalog(catalog, frozenset(registry.ready))

    def rendered(outcome: Outcome) -> None:
        metrics.rendered(outcome)
        registry.tiers.refresh()

    def hung(why: str) -> None:
        health.fail(why)
        dispatcher.fail(why)

    readers = Readers(read)
    host = HostCache(config.budgets.host_bytes, readers)
    checks = FitCheck(blobs, host, base.info, f"{config.engine} {config.model.dtype} {config.device}")
    catalog_file = CatalogFile(settings.cache, config.pool)
    writer = CatalogWriter(catalog_file, saved)
    registry = Registry(changes, files, host, device, checks.check, to_device, writer.changed)
    dispatcher = Dispatcher(
        base.engine,
        engine_thread,
        prefetch_thread,
        host,
        registry.weights.load,
        config.serving.max_pending,
        config.serving.request_timeout_seconds,
        on_rendered=rendered,
        on_lost=health.fail,
    )
    hung_after_s = _HUNG_AFTER_S[config.device] if settings.hung_seconds is None else settings.hung_seconds
    return RuntimeParts(
        changes=changes,
        metrics=metrics,
        health=health,
        watchdog=Watchdog(lambda: dispatcher.overdue_s, hung_after_s, hung),
        base=base,
        device=device,
        host=host,
        registry=registry,
        dispatcher=dispatcher,
        catalog_file=catalog_file,
        catalog_writer=writer,
        closing=(files, checks, readers),
        threads=(engine_thread, prefetch_thread),
    )
