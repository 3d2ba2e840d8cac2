"""One base, its adapters and its queue: what both ports, and the process, ask of it."""

import asyncio
import uuid
from collections.abc import Coroutine, Iterator, Mapping
from typing import Any

import structlog

from lorapool_api.wire.catalog import Catalog, CatalogDelta
from lorapool_api.wire.credentials import CredentialsDelivery
from lorapool_api.wire.fleet import Assignment
from lorapool_api.wire.reply import ErrorCode
from lorapool_api.wire.state import AdapterState, BasePhase, BaseReport, PodState, ServingStatus
from lorapool_common.observe.tracing import Tracing, tracing_for
from lorapool_runtime.app.images import ImageGenerator
from lorapool_runtime.app.load.status import StatusReporter
from lorapool_runtime.app.parts import RuntimeParts
from lorapool_runtime.app.readiness import Readiness
from lorapool_runtime.engine.contract import LoadEngine
from lorapool_runtime.errors import RequestError
from lorapool_runtime.settings import Settings
from lorapool_runtime.turns import in_slices, prefer_the_loop

log = structlog.get_logger(__name__)


class Runtime:
    """A process's base, catalog and queue. Made and used on the event loop.

    Attributes:
        images: what makes images.
        fleet: what gives files to other pods.
        control_token: what the control port asks other pods for.
        queued: each request that comes is a change of it.
        tracing: makes the spans of requests.
        instance: another one for each process.
    """

    def __init__(self, settings: Settings, load: LoadEngine, started_s: float, tracing: Tracing | None = None) -> None:
        """`started_s`: the process's start on the clock of `time.monotonic`. Nothing runs yet.

        `tracing` is by default as the settings say.
        """
        self.settings = settings
        self.tracing = tracing or tracing_for("lorapool-runtime", settings.otlp_endpoint)
        self.instance = uuid.uuid4().hex
        self._parts = parts = RuntimeParts(settings, load, started_s)
        self.fleet, self.control_token, self.queued = parts.fleet, parts.control_token, parts.queued
        self._readiness = Readiness(settings.ready_deadline_seconds)
        self._is_stopping = False
        # One change of the catalog after the other: each has many turns of the loop.
        self._applying = asyncio.Lock()
        self.images = ImageGenerator(
            settings,
            self.check_ready,
            lambda: parts.base.engine().info,
            parts.registry.weights,
            parts.undeclared,
            parts.dispatcher,
            parts.metrics,
            parts.meter,
            parts.checker,
            parts.start_times.note_image,
            parts.queued.note,
        )
        self._status = StatusReporter(
            self.instance,
            lambda: self.not_ready is None,
            parts.registry,
            parts.dispatcher,
            parts.meter,
            parts.changes,
            settings.config.serving.max_pending,
        )

    # ---- from start to end -------------------------------------------------------------------------------------

    def work(self) -> Mapping[str, Coroutine[Any, Any, None]]:
        """What runs for as long as the process does, by name. None of it may end before."""
        return self._parts.work()

    async def load_base(self) -> None:
        """Return when the base is warm. Raises: DeviceLost."""
        await self._parts.base.load_until_warm()
        prefer_the_loop()

    async def stop(self, grace_s: float) -> None:
        """Refuse new work and finish what runs, within the grace period."""
        self._is_stopping = True
        parts = self._parts
        await parts.dispatcher.stop(grace_s)
        # An operator that waits for news would hold up the end of the process for as long as it waits.
        parts.changes.close()
        await parts.catalog_writer.flush()
        await parts.undeclared.close()
        await parts.registry.close()
        await parts.fleet.close()
        for part in parts.closing:
            part.close()
        await asyncio.to_thread(self.tracing.close)
        for executor in parts.threads:
            executor.shutdown(wait=False, cancel_futures=True)

    # ---- whether it serves -------------------------------------------------------------------------------------

    @property
    def failure(self) -> str | None:
        """Why this process can make no image any more; None: it can."""
        return self._parts.health.failure

    @property
    def not_ready(self) -> str | None:
        """Why the pod takes no requests; None: it does.

        It does with a warm base and a catalog, as soon as it serves what the process before it served, and what is due
        to it of what the pods serve that it replaces.
        """
        registry = self._parts.registry
        if (obstacle := self._obstacle()) is not None:
            return obstacle.message
        if registry.digest is None:
            return "no catalog has arrived"
        if not self._readiness.is_complete(registry.is_on_its_way):
            return f"{len(self._readiness.missing)} adapters that were served before are still on their way"
        return None

    def check_ready(self) -> None:
        """Raises: RequestError (`NotReady`) where no image can be made now."""
        if (obstacle := self._obstacle()) is not None:
            raise obstacle

    def _obstacle(self) -> RequestError | None:
        base = self._parts.base.state
        if self.failure is not None or self._is_stopping:
            return RequestError(ErrorCode.NOT_READY, self.failure or "this pod is stopping", retryable=True)
        if base.phase is not BasePhase.WARM:
            message = f"the base model is {base.phase}: {base.message}"
            return RequestError(ErrorCode.NOT_READY, message, reason=base.reason, retryable=True)
        return None

    # ---- the catalog -------------------------------------------------------------------------------------------

    async def replace_catalog(self, catalog: Catalog) -> None:
        """Serve these adapters and no others."""
        async with self._applying:
            async for _ in in_slices(self._parts.registry.replacing(catalog)):
                pass
        self._parts.start_times.note_catalog()

    async def patch_catalog(self, delta: CatalogDelta) -> PodState:
        """The state of the adapters that were added. Raises: RequestError (`DigestMismatch`)."""
        async with self._applying:
            async for _ in in_slices(self._parts.registry.patching(delta)):
                pass
        states = self._parts.registry.states(keys=(entry.key for entry in delta.upsert))
        return self._state(complete=False, adapters=states)

    def assign(self, assignment: Assignment) -> PodState:
        """Follow this assignment from now on; the state without adapters."""
        self._readiness.expect(assignment.first)
        self.fleet.follow(assignment)
        return self._state(complete=False, adapters={})

    def deliver(self, delivery: CredentialsDelivery) -> PodState:
        """Pass credentials on to what waits for them; the state without adapters."""
        self._parts.credentials.deliver(delivery)
        return self._state(complete=False, adapters={})

    def restore_catalog(self) -> None:
        """Serve on with what the cache folder remembers."""
        saved = self._parts.catalog_file.read()
        if saved is not None and self._parts.registry.digest is None:
            log.info("serving on with the last catalog", adapters=len(saved.catalog.entries), served=len(saved.ready))
            self._readiness.expect(saved.ready)
            if saved.held is not None:
                self._parts.registry.hold(saved.held | saved.ready)
            self._parts.registry.replace(saved.catalog)
            self._parts.start_times.note_catalog()

    # ---- what others are told ----------------------------------------------------------------------------------

    def base_report(self) -> BaseReport:
        """The modules of the base. Raises: RequestError (`NotReady`) before it is warm."""
        report = self._parts.base.report()
        if report is None:
            raise RequestError(ErrorCode.NOT_READY, "the base model is not loaded yet", retryable=True)
        return report

    async def until_changed(self, version: int, within_s: float) -> None:
        """Return as soon as something has changed since that version, or after the wait."""
        await self._parts.changes.beyond(version, within_s)

    @property
    def is_over(self) -> bool:
        """Whether nothing will change any more that others should know of."""
        return self._parts.changes.is_closed

    def state(self, since: int | None = None, *, names_gone: bool = False) -> PodState:
        """The state for the operator: complete, or what changed since a version.

        Args:
            names_gone: what has gone since is named; else it is missing in a state that is complete.
        """
        state, rows = self.state_rows(since, names_gone=names_gone)
        return state.model_copy(update={"adapters": dict(rows)})

    def state_rows(
        self, since: int | None = None, *, names_gone: bool = False
    ) -> tuple[PodState, Iterator[tuple[str, AdapterState]]]:
        """As `state`, but the adapters apart, each made when its turn comes: thousands at once take a while.

        What changes meanwhile is told again by who asks for what came after the state's version.
        """
        registry = self._parts.registry
        gone = None if since is None else registry.removed_since(since)
        complete = gone is None or (bool(gone) and not names_gone)
        rows = registry.state_rows(None if complete else since)
        state = self._state(complete=complete, adapters={})
        if complete or not gone:
            return state, rows
        back = registry.states(keys=gone)
        return state.model_copy(update={"gone": tuple(key for key in gone if key not in back)}), rows

    def status(self, since: int | None = None) -> ServingStatus:
        """The state for the gateway: with the tiers of all adapters, or of those that changed since a version."""
        return self._status.status(since)

    def count_request(self, outcome: str) -> None:
        """Count a request for images that has ended so."""
        self._parts.metrics.requests.labels(outcome).inc()

    def metrics_text(self) -> bytes:
        """For Prometheus."""
        return self._parts.metrics.text()

    def _state(self, *, complete: bool, adapters: dict[str, AdapterState]) -> PodState:
        return PodState(
            instance=self.instance,
            version=self._parts.changes.version,
            digest=self._parts.registry.digest,
            assignment=assignment.digest if (assignment := self._parts.fleet.assignment) else None,
            base=self._parts.base.state,
            busy_s=dict(self.images.usage.busy_s),
            start_s=self._parts.start_times.stages_s,
            sleep=self._parts.sleep_state,
            awaits_credentials=self._parts.credentials.awaited,
            complete=complete,
            adapters=adapters,
        )
