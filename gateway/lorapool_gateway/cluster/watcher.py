"""Keeps the directory in step with the API server, for as long as the gateway lives."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from lorapool_api.names import POOL_LABEL
from lorapool_common.kube.reflector import ListerWatcher, Reflector
from lorapool_common.kube.resources import ADAPTERS, PODS, POOLS, Selection
from lorapool_gateway.cluster.directory import Directory, ObjectKind

_SELECTIONS: Final = {
    ObjectKind.POOL: Selection(POOLS),
    ObjectKind.ADAPTER: Selection(ADAPTERS),
    ObjectKind.POD: Selection(PODS, labels=POOL_LABEL),
}


@dataclass(frozen=True)
class _DirectoryPart:
    """What the directory knows of one kind in one namespace, or in all."""

    directory: Directory
    kind: ObjectKind
    namespace: str | None

    def replace(self, objects: Sequence[Mapping[str, Any]]) -> None:
        self.directory.replace(self.kind, self.namespace, objects)

    def put(self, manifest: Mapping[str, Any]) -> None:
        self.directory.put(self.kind, manifest)

    def drop(self, manifest: Mapping[str, Any]) -> None:
        self.directory.drop(self.kind, manifest)


class Watcher:
    """A reflector for each kind and namespace. `synced` is set when all of them have listed once."""

    def __init__(
        self,
        source: ListerWatcher,
        directory: Directory,
        namespaces: Sequence[str | None],
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._reflectors = [
            Reflector(source, selection.within(name), _DirectoryPart(directory, kind, name), pause=pause)
            for kind, selection in _SELECTIONS.items()
            for name in namespaces
        ]
        self.synced = asyncio.Event()

    async def run(self) -> None:
        """Never returns."""
        async with asyncio.TaskGroup() as tasks:
            for reflector in self._reflectors:
                tasks.create_task(reflector.run())
            for reflector in self._reflectors:
                await reflector.synced.wait()
            self.synced.set()
