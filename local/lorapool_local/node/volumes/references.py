"""Secrets and ConfigMaps that pods refer to, watched one by one as a node's rights allow."""

import asyncio
import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from lorapool_common.backoff import Backoff
from lorapool_common.kube.reflector import ListerWatcher, Reflector
from lorapool_common.kube.resources import CONFIG_MAPS, SECRETS, Manifest, Selection

REFERABLE: Final = {"Secret": SECRETS, "ConfigMap": CONFIG_MAPS}
_FORBIDDEN: Final = 403


@dataclass(frozen=True)
class Reference:
    """Names a Secret or a ConfigMap."""

    kind: str
    namespace: str
    name: str

    @property
    def selection(self) -> Selection:
        return Selection(REFERABLE[self.kind], self.namespace, fields=f"metadata.name={self.name}")


@dataclass
class HeldObject:
    """An object, None where there is none, and who wants to know when it changes."""

    known: asyncio.Event = field(default_factory=asyncio.Event)
    value: Manifest | None = None
    listeners: list[Callable[[], None]] = field(default_factory=list)
    task: asyncio.Task[None] | None = None

    def replace(self, objects: Sequence[Manifest]) -> None:
        self._set(next(iter(objects), None))

    def put(self, manifest: Manifest) -> None:
        self._set(manifest)

    def drop(self, _: Manifest) -> None:
        self._set(None)

    def _set(self, value: Manifest | None) -> None:
        if self.known.is_set() and self.value == value:
            return
        self.value = value
        self.known.set()
        for listener in self.listeners:
            listener()


class References:
    """The present state of every object that someone holds a reference to."""

    def __init__(self, source: ListerWatcher) -> None:
        self._source = source
        self._held: dict[Reference, HeldObject] = {}

    @contextlib.contextmanager
    def holding(self, reference: Reference, on_change: Callable[[], None]) -> Iterator[None]:
        """Watch the object for the length of the block."""
        held = self._held.get(reference)
        if held is None:
            held = self._held[reference] = HeldObject()
            # Forbidden at first: the apiserver has to learn that the pod is on this node.
            reflector = Reflector(
                self._source, reference.selection, held, expected=(_FORBIDDEN,), backoff=Backoff(0.1, 5.0)
            )
            held.task = asyncio.get_running_loop().create_task(reflector.run())
        held.listeners.append(on_change)
        try:
            yield
        finally:
            held.listeners.remove(on_change)
            if not held.listeners:
                if held.task is not None:
                    held.task.cancel()
                del self._held[reference]

    async def current(self, reference: Reference) -> Manifest | None:
        """The object, None where there is none. It must be held."""
        held = self._held[reference]
        await held.known.wait()
        return held.value
