"""The parts of one process, put together."""

import asyncio
from collections.abc import Coroutine, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

from lorapool_api.kinds.pool import Undeclared
from lorapool_api.kinds.runtime import Device
from lorapool_api.wire.state import SleepState, Tier
from lorapool_common.changes import Changes
from lorapool_runtime.adapters.check import check_file
from lorapool_runtime.adapters.file import AdapterFile, HostAdapter
from lorapool_runtime.app.fleet import Fleet
from lorapool_runtime.app.health import Health, Watchdog
from lorapool_runtime.app.load.backlog import request_s
from lorapool_runtime.app.load.meter import CostMeter
from lorapool_runtime.app.metrics import Metrics, PodFigures
from lorapool_runtime.app.safety.checker import SafetyChecker
from lorapool_runtime.catalog.fit_check import FitCheck
from lorapool_runtime.catalog.host.cache import HostCache
from lorapool_runtime.catalog.host.readers import Readers
from lorapool_runtime.catalog.saved import CatalogFile, CatalogWriter
from lorapool_runtime.control_token import ControlToken
from lorapool_runtime.credentials import CredentialsDesk
from lorapool_runtime.engine.cold_start import StartTimes
from lorapool_runtime.engine.contract import LoadEngine
from lorapool_runtime.engine.device_adapters import DeviceAdapters
from lorapool_runtime.engine.loader import BaseLoader
from lorapool_runtime.queue.dispatcher import Dispatcher
from lorapool_runtime.queue.entry import Outcome
from lorapool_runtime.queue.idle_work import MergeLosses
from lorapool_runtime.queue.sleep.timer import SleepTimer
from lorapool_runtime.settings import Settings
from lorapool_runtime.sources.ahead.many import FilesAhead
from lorapool_runtime.sources.ahead.messages import AheadSetup
from lorapool_runtime.sources.blobs import BlobFolder
from lorapool_runtime.sources.fetch import Fetcher
from lorapool_runtime.sources.loader import FileLoader
from lorapool_runtime.sources.origins import SourceRules
from lorapool_runtime.sources.pods.peers import Peers
from lorapool_runtime.undeclared.adapters import UndeclaredAdapters
from lorapool_runtime.undeclared.cards import HubCards
from lorapool_runtime.undeclared.registry import OpenRegistry

# An engine that takes so much longer than its request's time hangs. On a CPU a single step can take minutes.
_HUNG_AFTER_S: Final = {Device.CUDA: 30.0, Device.CPU: 600.0}


class RuntimeParts:
    """What `Runtime` works with. Nothing of it runs yet."""

    def __init__(self, settings: Settings, load: LoadEngine, started_s: float) -> None:
        """Needs a running event loop. `started_s`: the process's start on the clock of `time.monotonic`."""
        config = self._config = settings.config
        engine_thread, self._prefetch_thread = ThreadPoolExecutor(1, "engine"), ThreadPoolExecutor(1, "prefetch")
        finish_thread = ThreadPoolExecutor(1, "finish")
        self.threads = (engine_thread, self._prefetch_thread, finish_thread)
        self.changes, self.queued, self.health = Changes(), Changes(), Health()
        self.metrics, self.meter = Metrics(config, self._figures), CostMeter(lambda: self.device.evictions)
        self.base = BaseLoader(load, engine_thread, self.changes, started_s)
        self.start_times = StartTimes(lambda: self.base.state, started_s, self.changes.note)
        self.device = DeviceAdapters(self.base.warm)
        self._blobs = blobs = BlobFolder(settings.cache, config.budgets.disk_bytes)
        self.control_token = ControlToken(settings.control_token_file)
        peers = Peers(self.control_token)
        rules = SourceRules.of(config, settings.pod_root, settings.civitai_endpoint)
        ahead = FilesAhead(
            AheadSetup(
                cache=settings.cache,
                bound_bytes=config.budgets.disk_bytes,
                rules=rules,
                max_rank=config.max_rank,
                log_level=settings.log_level,
            )
        )
        self.credentials = CredentialsDesk(self.changes.note)
        files = FileLoader(
            Fetcher(blobs, rules),
            blobs,
            config.max_rank,
            find=peers.find,
            credentials=self.credentials.get,
            ahead=ahead,
            on_fetched=self.meter.file_fetched,
        )
        readers = Readers(self._read)
        self.host = HostCache(config.budgets.host_bytes, readers)
        reads = f"{config.engine} {config.model.dtype} {config.device}"
        fit = FitCheck(blobs, self.host, self.base.info, reads)
        self.checker = SafetyChecker(
            config.serving.safety, self.metrics.checked, lambda pictures: self.base.engine().flagged(pictures)
        )
        self.closing = (files, fit, readers, self.checker)
        self.catalog_file = CatalogFile(settings.cache, config.pool)
        self.catalog_writer = CatalogWriter(self.catalog_file, lambda: self.registry.saved())
        self.registry = OpenRegistry(
            self.changes,
            files,
            self.host,
            self.device,
            fit.check,
            self._to_device,
            self.catalog_writer.changed,
            is_own=peers.is_own,
        )
        cards = HubCards(config.model, config.max_file_bytes)
        self.undeclared = UndeclaredAdapters(self.registry, cards.look if config.undeclared is Undeclared.HUB else None)
        self.fleet = Fleet(peers, self.control_token, self.registry, blobs, self.changes)
        self.dispatcher = Dispatcher(
            self.base.engine,
            engine_thread,
            self._prefetch_thread,
            finish_thread,
            self.host,
            self.registry.weights.load,
            config.serving.max_pending,
            config.serving.request_timeout_seconds,
            on_rendered=self._rendered,
            on_lost=self.health.fail,
            on_sleep=self._slept,
            cost_s=lambda entry: request_s(entry, self.meter.costs) if self.meter.costs.step_s else None,
        )
        self.sleep_timer = SleepTimer(
            self.base.info, self.dispatcher, self._sleep_after_s, lambda: self.registry.weights.waiting
        )
        self.merge_losses = MergeLosses(self.registry, self.dispatcher, self.changes)
        hung_after_s = _HUNG_AFTER_S[config.device] if settings.hung_seconds is None else settings.hung_seconds
        self.watchdog = Watchdog(lambda: self.dispatcher.overdue_s, hung_after_s, self._hung)

    def work(self) -> Mapping[str, Coroutine[Any, Any, None]]:
        """What runs for as long as the process does, by name."""
        return {
            "the queue": self.dispatcher.run(),
            "the watch over the engine": self.watchdog.run(),
            "the pod's service": self.health.raise_on_failure(),
            "the timer of sleep": self.sleep_timer.run(),
            "what a merge would lose": self.merge_losses.run(),
            "the writer of the catalog": self.catalog_writer.run(),
        }

    @property
    def sleep_state(self) -> SleepState:
        """For the operator."""
        slept = self.dispatcher.sleep
        return SleepState(asleep=slept.is_asleep, problem=slept.problem)

    def _read(self, file: AdapterFile) -> HostAdapter:
        """On a thread. A file that an earlier process has checked is checked again before its first use."""
        if self._blobs.prove(file.sha256):
            check_file(file.path, self._config.max_rank)
        return self.base.engine().read(file)

    async def _to_device(self, adapter: HostAdapter) -> None:
        prefetch = self.base.engine().prefetch
        await asyncio.get_running_loop().run_in_executor(self._prefetch_thread, prefetch, [adapter])

    def _figures(self) -> PodFigures:
        """What is read at the moment, and is not counted as it happens."""
        return PodFigures(
            pending=self.dispatcher.pending + self.registry.weights.waiting,
            running=self.dispatcher.running,
            busy_s=self.dispatcher.busy_s,
            base=self.base.state,
            start_s=self.start_times.stages_s,
            adapters=self.registry.tiers.count(),
            held_bytes={Tier.DEVICE: self.device.size_bytes, Tier.HOST: self.host.size_bytes},
            evictions={
                Tier.DEVICE: self.device.evictions,
                Tier.HOST: self.host.evictions,
                Tier.DISK: self._blobs.evictions,
            },
            compiled=self.device.compiled,
            sleep=self.dispatcher.sleep,
        )

    def _rendered(self, outcome: Outcome) -> None:
        self.metrics.rendered(outcome)
        self.registry.tiers.refresh()

    def _sleep_after_s(self) -> float | None:
        """As the operator wants it."""
        return None if self.fleet.assignment is None else self.fleet.assignment.sleep_after_s

    def _slept(self) -> None:
        """The engine has fallen asleep, or is awake again."""
        if not self.dispatcher.is_asleep:
            self.registry.pins.reload()
            if (took_s := self.dispatcher.sleep.last_wake_s) is not None:
                self.meter.woke(took_s)
        self.registry.tiers.refresh()
        self.changes.note()

    def _hung(self, why: str) -> None:
        self.health.fail(why)
        self.dispatcher.fail(why)
