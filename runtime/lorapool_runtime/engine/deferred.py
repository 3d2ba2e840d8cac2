"""An engine that is made when it is loaded: importing torch takes seconds, and health must answer meanwhile."""

import time
from collections.abc import Callable, Sequence
from dataclasses import replace

from lorapool_runtime.engine.contract import BaseInfo, Engine, Progress, Recipe, Rendering, Stop, Use, untold
from lorapool_runtime.store.files import AdapterFile, HostAdapter


class DeferredEngine:
    """See `engine.contract.Engine`."""

    def __init__(self, make: Callable[[], Engine]) -> None:
        self._make = make
        self._engine: Engine | None = None

    def load(self, progress: Progress = untold) -> BaseInfo:
        start = time.monotonic()
        if self._engine is None:
            self._engine = self._make()
        imported_s = time.monotonic() - start
        info = self._engine.load(progress)
        return replace(info, stages_s={"import": imported_s, **info.stages_s})

    def read(self, file: AdapterFile) -> HostAdapter:
        return self._made.read(file)

    def render(self, recipe: Recipe, stack: Sequence[Use], stop: Stop, waiting: int = 0) -> Rendering:
        return self._made.render(recipe, stack, stop, waiting)

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
