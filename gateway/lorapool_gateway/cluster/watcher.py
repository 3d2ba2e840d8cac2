"""Keeps the directory in step with the API server, for as long as the gateway lives."""

import asyncio
import random
from collections.abc import AsyncIterator, Sequence
from typing import Protocol

import structlog
from aiohttp import ClientError

from lorapool_gateway.cluster.directory import Directory, Manifest, ObjectKind
from lorapool_gateway.cluster.kube import KubeError

log = structlog.get_logger(__name__)

GONE = 410
FIRST_DELAY_S = 0.2
LAST_DELAY_S = 5.0


class Lister(Protocol):
    """Lists and watches; raises `KubeError`, `ClientError`, `OSError` or `TimeoutError` when it cannot."""

    async def list(self, kind: ObjectKind, namespace: str | None) -> tuple[list[Manifest], str]: ...

    def watch(self, kind: ObjectKind, namespace: str | None, version: str) -> AsyncIterator[tuple[str, Manifest]]: ...


class Watcher:
    """One task per kind and namespace. Each lists, watches until the watch ends, and begins again.

    Every watch is followed by a new list, so whatever a watch has missed is found a few minutes later. While the API
    server is away the directory stays as it is and the tasks try again for ever, seconds apart.
    """

    def __init__(self, kube: Lister, directory: Directory, namespaces: Sequence[str | None]) -> None:
        self._kube = kube
        self._directory = directory
        self._scopes = [(kind, namespace) for kind in ObjectKind for namespace in namespaces]
        self._unlisted = set(self._scopes)
        self.synced = asyncio.Event()

    async def run(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            for kind, namespace in self._scopes:
                tasks.create_task(self._follow(kind, namespace), name=f"watch {kind.value}")

    async def _follow(self, kind: ObjectKind, namespace: str | None) -> None:
        loop = asyncio.get_running_loop()
        failures = 0
        while True:
            began = loop.time()
            try:
                await self._list_and_watch(kind, namespace)
            except (KubeError, ClientError, OSError, TimeoutError, ValueError) as error:
                # 410 Gone is no failure: the version is too old to watch from, the next list brings a newer one.
                if not (isinstance(error, KubeError) and error.status == GONE):
                    log.warning("API server not reached", kind=kind.value, namespace=namespace, error=str(error))
            failures = 0 if loop.time() - began > LAST_DELAY_S else failures + 1
            await asyncio.sleep(delay_s(failures))

    async def _list_and_watch(self, kind: ObjectKind, namespace: str | None) -> None:
        manifests, version = await self._kube.list(kind, namespace)
        self._directory.replace(kind, namespace, manifests)
        self._has_listed(kind, namespace)
        async for event, manifest in self._kube.watch(kind, namespace, version):
            if event == "DELETED":
                self._directory.drop(kind, manifest)
            else:
                self._directory.put(kind, manifest)

    def _has_listed(self, kind: ObjectKind, namespace: str | None) -> None:
        self._unlisted.discard((kind, namespace))
        if not self._unlisted:
            self.synced.set()


def delay_s(failures: int) -> float:
    """Pause before the next list: longer with each watch in a row that ended early, spread so that gateways differ."""
    return min(LAST_DELAY_S, FIRST_DELAY_S * 2.0 ** min(failures, 10)) * random.uniform(0.7, 1.3)  # noqa: S311
