"""The pods that are bound to the node: a worker for each."""

import asyncio
import shutil
from collections.abc import Sequence
from pathlib import Path

import structlog
from pydantic import ValidationError

from lorapool_common.kube.resources import Manifest
from lorapool_local.node.containers.deps import NodeDeps
from lorapool_local.node.spec.pod import Pod
from lorapool_local.node.worker import PodWorker

log = structlog.get_logger(__name__)


class PodWorkers:
    """Starts a worker for each pod that comes, and tells it what the API server says of its pod."""

    def __init__(self, deps: NodeDeps) -> None:
        self._deps = deps
        self._workers: dict[str, PodWorker] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._cleaning: asyncio.Task[None] | None = None

    def find(self, namespace: str, name: str) -> PodWorker | None:
        found = [w for w in self._workers.values() if w.pod.key == f"{namespace}/{name}"]
        return found[-1] if found else None

    def replace(self, objects: Sequence[Manifest]) -> None:
        present = {manifest["metadata"]["uid"] for manifest in objects}
        for uid in self._workers.keys() - present:
            self._workers[uid].gone()
        for manifest in objects:
            self.put(manifest)
        self._remove_leftovers(present)

    def put(self, manifest: Manifest) -> None:
        try:
            pod = Pod.model_validate(manifest)
        except ValidationError as error:
            log.error("pod not understood", pod=manifest["metadata"]["name"], error=str(error))  # noqa: TRY400 -- the text says it all
            return
        worker = self._workers.get(pod.uid)
        if worker is not None:
            worker.update(pod)
        elif not (pod.is_finished and pod.metadata.deletion_timestamp is None):
            self._start(PodWorker(self._deps, pod), pod)

    def drop(self, manifest: Manifest) -> None:
        worker = self._workers.get(manifest["metadata"]["uid"])
        if worker is not None:
            worker.gone()

    async def stop(self, grace_s: float) -> None:
        """End all pods, within that time, whatever their own grace periods."""
        workers, running = list(self._workers.values()), list(self._tasks.values())
        await asyncio.gather(*(worker.stop(grace_s) for worker in workers), return_exceptions=True)
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)

    def _start(self, worker: PodWorker, pod: Pod) -> None:
        self._workers[pod.uid] = worker
        worker.update(pod)
        task = asyncio.get_running_loop().create_task(worker.run(), name=f"pod {pod.key}")
        self._tasks[pod.uid] = task
        task.add_done_callback(lambda ended: self._forget(pod, ended))

    def _forget(self, pod: Pod, task: asyncio.Task[None]) -> None:
        self._workers.pop(pod.uid, None)
        self._tasks.pop(pod.uid, None)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("pod worker failed", pod=pod.key, exc_info=error)
            # A fault of this program: what the apiserver next says of the pod starts it again.
            self._deps.events.warning(pod, "NodeFault", f"{type(error).__name__}: {error}")

    def _remove_leftovers(self, present: set[str]) -> None:
        """Remove folders of pods that went while the node was away; a pod that is gone never comes again."""
        folders = [
            folder
            for folder in self._deps.pods_dir.iterdir()
            if folder.name not in present and folder.name not in self._workers
        ]
        if folders:
            self._cleaning = asyncio.get_running_loop().create_task(asyncio.to_thread(_remove, folders))


def _remove(folders: Sequence[Path]) -> None:
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)
