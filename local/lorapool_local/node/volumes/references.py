"""Secrets and ConfigMaps that pods refer to, watched one by one as a node's rights allow."""

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import structlog

from lorapool_local.kube import Kube, KubeError, Object

log = structlog.get_logger(__name__)

_RESOURCES = {"Secret": "secrets", "ConfigMap": "configmaps"}
_FIRST_PAUSE_S = 0.1
_LONGEST_PAUSE_S = 5.0


@dataclass(frozen=True)
class Reference:
    kind: str
    namespace: str
    name: str

    @property
    def collection(self) -> str:
        return f"/api/v1/namespaces/{self.namespace}/{_RESOURCES[self.kind]}"


@dataclass
class _Entry:
    task: asyncio.Task[None]
    known: asyncio.Event = field(default_factory=asyncio.Event)
    value: Object | None = None
    listeners: list[Callable[[], None]] = field(default_factory=list)


class References:
    """The present state of every object that someone holds a reference to."""

    def __init__(self, kube: Kube) -> None:
        self._kube = kube
        self._entries: dict[Reference, _Entry] = {}

    @contextlib.contextmanager
    def holding(self, reference: Reference, on_change: Callable[[], None]) -> Iterator[None]:
        """Watch the object for the length of the block."""
        entry = self._entries.get(reference)
        if entry is None:
            entry = _Entry(asyncio.get_running_loop().create_task(self._follow(reference)))
            self._entries[reference] = entry
        entry.listeners.append(on_change)
        try:
            yield
        finally:
            entry.listeners.remove(on_change)
            if not entry.listeners:
                entry.task.cancel()
                del self._entries[reference]

    async def current(self, reference: Reference) -> Object | None:
        """The object, None where there is none. It must be held."""
        entry = self._entries[reference]
        await entry.known.wait()
        return entry.value

    async def _follow(self, reference: Reference) -> None:
        pause_s = _FIRST_PAUSE_S
        while True:
            try:
                await self._list_and_watch(reference)
                pause_s = _FIRST_PAUSE_S
            except KubeError as error:
                # Forbidden at first: the apiserver has to learn that the pod is on this node.
                log.debug("reference not readable", reference=reference, error=str(error))
                await asyncio.sleep(pause_s)
                pause_s = min(pause_s * 2, _LONGEST_PAUSE_S)

    async def _list_and_watch(self, reference: Reference) -> None:
        selector = f"metadata.name={reference.name}"
        found = await self._kube.get(reference.collection, fieldSelector=selector)
        self._set(reference, next(iter(found["items"]), None))
        version = found["metadata"]["resourceVersion"]
        async for kind, value in self._kube.watch(reference.collection, version, fieldSelector=selector):
            if kind in ("ADDED", "MODIFIED"):
                self._set(reference, value)
            elif kind == "DELETED":
                self._set(reference, None)

    def _set(self, reference: Reference, value: Object | None) -> None:
        entry = self._entries[reference]
        if entry.known.is_set() and entry.value == value:
            return
        entry.value = value
        entry.known.set()
        for listener in entry.listeners:
            listener()
