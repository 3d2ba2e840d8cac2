"""An engine that is made when it is loaded: importing torch takes seconds, and health must answer meanwhile."""

import gc
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace

from lorapool_runtime.adapters.file import AdapterFile, HostAdapter
from lorapool_runtime.engine.contract import BaseInfo, Engine, Progress, Recipe, RenderRequest, Result, no_progress


class DeferredEngine:
    """See `engine.contract.Engine`."""

    def __init__(self, make: Callable[[], Engine]) -> None:
        self._make = make
        self._engine: Engine | None = None
        self._pinned: frozenset[str] = frozenset()

    def load(self, progress: Progress = no_progress) -> BaseInfo:
        start = time.monotonic()
        if self._engine is None:
            # What an earlier try left in cycles of references, tracebacks among them.
            gc.collect()
            self._engine = self._make()
            self._engine.pin(self._pinned)
        imported_s = time.monotonic() - start
        try:
            info = self._engine.load(progress)
        except Exception:
            # All of it goes, half a base included: the next try must not find memory taken by this one.
            self._engine = None
            raise
        return replace(info, stages_s={"import": imported_s, **info.stages_s})

    def read(self, file: AdapterFile) -> HostAdapter:
        return self._made.read(file)

    def batch(self, recipe: Recipe) -> int:
        return self._made.batch(recipe)

    def mixes(self, adapter: HostAdapter) -> bool:
        return self._made.mixes(adapter)

    def render(self, requests: Sequence[RenderRequest[HostAdapter]], waiting: int = 0) -> Sequence[Result]:
        return self._made.render(requests, waiting)

    def prefetch(self, adapters: Sequence[HostAdapter]) -> None:
        self._made.prefetch(adapters)

    def check(self) -> None:
        self._made.check()

    @property
    def device_bytes(self) -> int:
        return self._engine.device_bytes if self._engine else 0

    def pin(self, identities: Collection[str]) -> None:
        self._pinned = frozenset(identities)
        if self._engine is not None:
            self._engine.pin(identities)

    def on_device(self) -> frozenset[str]:
        return self._engine.on_device() if self._engine else frozenset()

    def forget(self, identity: str) -> None:
        if self._engine is not None:
            self._engine.forget(identity)

    @property
    def _made(self) -> Engine:
        if self._engine is None:
            raise RuntimeError("the engine works only after it was loaded")
        return self._engine
