"""What a pod is told: its assignment, and the catalog; where both are new and the change is small, in one call."""

from dataclasses import dataclass
from typing import Final, Protocol

from lorapool_api.wire.catalog import Catalog, CatalogDelta
from lorapool_api.wire.fleet import Assignment
from lorapool_api.wire.state import PodState
from lorapool_operator.pods.control import ControlError, DigestMismatch, NotSupported
from lorapool_operator.pods.delta import Deltas
from lorapool_operator.pods.report import ReportLog

# A pod reads the rows of a longer one with pauses, so that requests go on; those of an assignment in one go.
_MOST_TOGETHER: Final = 500


class TakesOrders(Protocol):
    """The control ports of pods, as far as they are told something. Raises: ControlError."""

    async def assign(
        self, ip: str, token: str, assignment: Assignment, delta: CatalogDelta | None = None
    ) -> PodState: ...

    async def put(self, ip: str, token: str, catalog: Catalog, max_bytes: int) -> PodState: ...

    async def patch(self, ip: str, token: str, delta: CatalogDelta, max_bytes: int) -> PodState: ...


@dataclass
class TellsPod:
    """Tells one pod; what it answers is in `reported`."""

    ip: str
    token: str
    control: TakesOrders
    reported: ReportLog
    deltas: Deltas
    _takes_no_assignment: str | None = None

    def is_assigned(self, wanted: Assignment | None) -> bool:
        """Whether the pod follows its assignment, or its process knows of no such thing."""
        is_old = self._takes_no_assignment is not None and self._takes_no_assignment == self.reported.instance
        return wanted is None or is_old or self.reported.assignment == wanted.digest

    async def tell(self, catalog: Catalog, assignment: Assignment | None, limit: int) -> None:
        """Let it have the catalog and the assignment. `limit`: bytes of its answer. Raises: ControlError."""
        if assignment is not None and not self.is_assigned(assignment):
            # First: what the pod does not hold it shall not begin to fetch.
            await self._assign(assignment, self._small_change(catalog), catalog)
        if self.reported.digest != catalog.digest:
            await self._send(catalog, limit)

    async def _assign(self, wanted: Assignment, change: CatalogDelta | None, catalog: Catalog) -> None:
        try:
            state = await self.control.assign(self.ip, self.token, wanted, change)
        except NotSupported:
            self._takes_no_assignment = self.reported.instance
            return
        if change is not None and state.digest == catalog.digest:
            self.reported.drop(change.remove)
            self.reported.held = catalog
        self.reported.apply(state)
        if state.assignment != wanted.digest:
            raise ControlError(f"the pod took the assignment, but says that it follows {state.assignment}")

    def _small_change(self, catalog: Catalog) -> CatalogDelta | None:
        change = self._change(catalog) if self.reported.digest != catalog.digest else None
        return None if change is None or len(change.upsert) + len(change.remove) > _MOST_TOGETHER else change

    def _change(self, catalog: Catalog) -> CatalogDelta | None:
        """From the catalog that the pod holds; None: that is not known."""
        held = self.reported.held
        return None if held is None or held.digest != self.reported.digest else self.deltas.between(held, catalog)

    async def _send(self, catalog: Catalog, limit: int) -> None:
        """A delta where the pod's catalog is known, else all of it."""
        state = await self._send_change(catalog, limit) or await self.control.put(self.ip, self.token, catalog, limit)
        self.reported.apply(state)
        if state.digest != catalog.digest:
            raise ControlError(f"the pod took the catalog, but says that it holds {state.digest}")
        self.reported.held = catalog

    async def _send_change(self, catalog: Catalog, limit: int) -> PodState | None:
        """None: the pod needs all of it."""
        change = self._change(catalog)
        if change is None:
            return None
        try:
            state = await self.control.patch(self.ip, self.token, change, limit)
        except DigestMismatch:
            return None
        self.reported.drop(change.remove)
        return state
