"""What a pod says of itself to gateways."""

from collections.abc import Callable

from lorapool_api.wire.state import ServingStatus
from lorapool_common.changes import Changes
from lorapool_runtime.app.load.backlog import backlog
from lorapool_runtime.app.load.meter import CostMeter
from lorapool_runtime.catalog.registry import Registry
from lorapool_runtime.queue.dispatcher import Dispatcher


class StatusReporter:
    """Lives on the event loop."""

    def __init__(
        self,
        instance: str,
        is_ready: Callable[[], bool],
        registry: Registry,
        dispatcher: Dispatcher,
        meter: CostMeter,
        changes: Changes,
        max_pending: int,
    ) -> None:
        self._instance = instance
        self._is_ready = is_ready
        self._registry = registry
        self._dispatcher = dispatcher
        self._meter = meter
        self._changes = changes
        self._max_pending = max_pending

    def status(self, since: int | None = None) -> ServingStatus:
        """With the tiers of all adapters, or of those that changed since a version."""
        tiers = self._registry.tiers
        changed = None if since is None else tiers.since(since)
        there, gone = (tiers.all(), ()) if changed is None else changed
        unlisted = self._registry.weights.waiting
        return ServingStatus(
            instance=self._instance,
            digest=self._registry.digest,
            ready=self._is_ready(),
            pending=self._dispatcher.pending + unlisted,
            running=self._dispatcher.running,
            asleep=self._dispatcher.is_asleep,
            max_pending=self._max_pending,
            reads_pictures=True,
            reads_weightings=True,
            version=self._changes.version,
            complete=changed is None,
            tiers=there,
            gone=gone,
            costs=self._meter.costs,
            backlog=backlog(self._dispatcher.load, self._meter.costs, unlisted),
        )
