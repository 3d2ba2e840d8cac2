"""Events of pods, as `kubectl describe pod` shows them."""

import asyncio
import uuid
from datetime import UTC, datetime

import structlog

from lorapool_common.kube.client import Kube
from lorapool_common.kube.errors import ApiError
from lorapool_common.kube.resources import CORE_EVENTS
from lorapool_local.node.reports.conditions import timestamp
from lorapool_local.node.spec.pod import Pod

log = structlog.get_logger(__name__)

# Events beyond this many that wait to be written are dropped.
_MAX_WAITING = 1000


class EventRecorder:
    """Writes events in the background; what cannot be written is lost."""

    def __init__(self, kube: Kube, node_name: str) -> None:
        self._kube = kube
        self._node_name = node_name
        self._waiting: asyncio.Queue[dict[str, object]] = asyncio.Queue(_MAX_WAITING)
        self._last: dict[tuple[str, str], str] = {}

    def normal(self, pod: Pod, reason: str, message: str) -> None:
        self._add(pod, "Normal", reason, message)

    def warning(self, pod: Pod, reason: str, message: str) -> None:
        self._add(pod, "Warning", reason, message)

    def forget(self, pod: Pod) -> None:
        for key in [key for key in self._last if key[0] == pod.uid]:
            del self._last[key]

    async def write(self) -> None:
        """Never returns."""
        while True:
            event = await self._waiting.get()
            namespace = event["metadata"]["namespace"]  # type: ignore[index]  # our own JSON
            try:
                await self._kube.create(CORE_EVENTS, namespace, event)
            except ApiError as error:
                log.debug("event not written", error=str(error))

    def _add(self, pod: Pod, kind: str, reason: str, message: str) -> None:
        # A warning that repeats the last one of its reason is not written again.
        if kind == "Warning" and self._last.get((pod.uid, reason)) == message:
            return
        self._last[pod.uid, reason] = message
        now = timestamp(datetime.now(UTC))
        metadata = pod.metadata
        event: dict[str, object] = {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": f"{metadata.name}.{uuid.uuid4().hex[:16]}", "namespace": metadata.namespace},
            "involvedObject": {
                "apiVersion": "v1",
                "kind": "Pod",
                "name": metadata.name,
                "namespace": metadata.namespace,
                "uid": metadata.uid,
            },
            "type": kind,
            "reason": reason,
            "message": message[:1000],
            "source": {"component": "lorapool-node", "host": self._node_name},
            "firstTimestamp": now,
            "lastTimestamp": now,
            "count": 1,
        }
        if not self._waiting.full():
            self._waiting.put_nowait(event)
