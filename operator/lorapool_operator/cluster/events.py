"""Events: what a person reads in `kubectl describe`. They never hold up a pass and may be lost."""

import asyncio
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final, Protocol

import structlog

from lorapool_api import names
from lorapool_api.kinds.adapter import Adapter
from lorapool_api.kinds.pool import Pool
from lorapool_common.kube.errors import ApiError
from lorapool_common.kube.resources import EVENTS, Resource
from lorapool_operator.decide.events import EventDraft

log = structlog.get_logger(__name__)

MAX_WAITING: Final = 2000
_PAUSE_S: Final = 0.02
_MAX_NOTE: Final = 1000


class CreatesEvents(Protocol):
    """The API server, as events need it. Raises: ApiError."""

    async def create(self, resource: Resource, namespace: str | None, body: dict[str, Any]) -> dict[str, Any]: ...


class Recorder:
    """Sends events one after another behind everything else; drops what it cannot keep up with."""

    def __init__(self, kube: CreatesEvents, identity: str) -> None:
        self._kube = kube
        self._identity = identity
        self._waiting: asyncio.Queue[EventDraft] = asyncio.Queue(MAX_WAITING)

    def record(self, draft: EventDraft) -> None:
        try:
            self._waiting.put_nowait(draft)
        except asyncio.QueueFull:
            log.debug("an event is dropped", reason=draft.reason)

    async def run(self) -> None:
        while True:
            draft = await self._waiting.get()
            try:
                await self._kube.create(EVENTS, draft.about.metadata.namespace, self._body(draft))
            except ApiError as error:
                tell = log.debug if error.is_namespace_terminating else log.warning
                tell("an event is lost", reason=draft.reason, error=error.message)
            await asyncio.sleep(_PAUSE_S)

    def _body(self, draft: EventDraft) -> dict[str, Any]:
        meta = draft.about.metadata
        return {
            "apiVersion": "events.k8s.io/v1",
            "kind": "Event",
            # As client-go names events: the API server would take no generated name that ends in a dot.
            "metadata": {"name": f"{meta.name[:200]}.{time.time_ns():x}", "namespace": meta.namespace},
            "eventTime": datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z"),
            "reportingController": f"{names.GROUP}/operator",
            "reportingInstance": self._identity,
            "action": "Reconcile",
            "type": "Warning" if draft.is_warning else "Normal",
            "reason": draft.reason,
            "note": draft.message[:_MAX_NOTE],
            "regarding": _reference(draft.about),
        }


def _reference(about: Adapter | Pool) -> Mapping[str, str]:
    kind = names.POOL_KIND if isinstance(about, Pool) else names.ADAPTER_KIND
    meta = about.metadata
    return {
        "apiVersion": names.API_VERSION,
        "kind": kind,
        "name": meta.name,
        "namespace": meta.namespace,
        "uid": meta.uid,
        "resourceVersion": meta.resource_version,
    }
