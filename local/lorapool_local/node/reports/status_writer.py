"""Writes the status of one pod to the API server, each time that it has changed."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime

import structlog

from lorapool_common.backoff import Backoff
from lorapool_common.kube.client import STRATEGIC_PATCH, Kube
from lorapool_common.kube.errors import ApiError
from lorapool_common.kube.resources import PODS, Manifest
from lorapool_local.node.reports.snapshot import PodSnapshot
from lorapool_local.node.reports.status import pod_status, status_patch
from lorapool_local.node.spec.pod import Pod, ReportedStatus

log = structlog.get_logger(__name__)

_RETRY_S = (0.1, 5.0)


class StatusWriter:
    """Knows the pod with the status that was last written: the watch may lag behind it."""

    def __init__(self, kube: Kube, pod: Pod, snapshot: Callable[[], PodSnapshot]) -> None:
        """`snapshot` tells what is to be reported now."""
        self.pod = pod
        self._kube = kube
        self._snapshot = snapshot
        self._written: Manifest | None = None
        self._changed = asyncio.Event()
        self._changed.set()

    def update(self, pod: Pod) -> None:
        """A newer version of the pod; its status is left aside."""
        self.pod = pod.model_copy(update={"status": self.pod.status})

    def changed(self) -> None:
        """What is to be reported may be another than before."""
        self._changed.set()

    async def run(self) -> None:
        """Until the pod is gone, or cancelled."""
        backoff = Backoff(*_RETRY_S)
        while True:
            await self._changed.wait()
            self._changed.clear()
            try:
                await self.write()
                backoff.reset()
            except ApiError as error:
                if error.is_gone:
                    return
                log.warning("status not written", pod=self.pod.key, error=str(error))
                self._changed.set()
                await asyncio.sleep(backoff.next())

    async def write(self) -> None:
        """Write the status if it differs from what was written before. Raises: ApiError."""
        if self.pod.is_finished:
            return
        status = pod_status(self.pod, self._snapshot(), datetime.now(UTC))
        if status == self._written:
            return
        body = {"metadata": {"uid": self.pod.uid}, "status": status_patch(status)}
        meta = self.pod.metadata
        answer = await self._kube.patch(PODS, meta.namespace, meta.name, body, "status", STRATEGIC_PATCH)
        self._written = status
        self.pod = self.pod.model_copy(update={"status": ReportedStatus.model_validate(answer["status"])})
