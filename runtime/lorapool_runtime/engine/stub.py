"""The stub engine: no torch, no base, images that show what was asked for, timings that can be set.

An image is a pure function of the base's label, the files and strengths of the adapters, and the recipe. A wrong
adapter is visible in the bytes.
"""

import time
from collections import OrderedDict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from typing import Final

from PIL.Image import Image

from lorapool_api.kinds.runtime import StubTimings
from lorapool_api.wire.weighting.blocks import SDXL
from lorapool_api.wire.weighting.scale import Weighting
from lorapool_runtime.adapters.file import AdapterFile, HostAdapter, ScaledAdapter
from lorapool_runtime.engine.compile_figures import CompileFigures
from lorapool_runtime.engine.contract import BaseInfo, Progress, Recipe, RenderRequest, Step, no_progress
from lorapool_runtime.engine.result import Applied, Rendering, Result, Unfinished
from lorapool_runtime.engine.stub_image import draw
from lorapool_runtime.errors import ModelError, Stopped

NO_CHECKER: Final = "the stub engine has no base, and none that brings a checker along: serving.safety.url names one"
_ON_DEVICE: Final = 8
# A pretended wait looks that often whether it is still wanted.
_TICK_S: Final = 0.02


@dataclass(frozen=True)
class StubAdapter:
    """The stub needs no weights; the file was checked like any other."""

    identity: str
    sha256: str
    size_bytes: int


def load_stub(
    label: str,
    timings: StubTimings,
    progress: Progress = no_progress,
    sleep: Callable[[float], None] = time.sleep,
    on_device: int = _ON_DEVICE,
) -> "StubEngine":
    """The engine, after as long as a base pretends to take. `on_device`: as if it had room for so many adapters."""
    start = time.monotonic()
    sleep(timings.load_milliseconds / 1000)
    progress(1.0)
    return StubEngine(label, timings, sleep, {"load": time.monotonic() - start}, on_device)


class StubEngine:
    """See `engine.contract.WarmEngine`."""

    def __init__(
        self,
        label: str,
        timings: StubTimings,
        sleep: Callable[[float], None] = time.sleep,
        stages_s: Mapping[str, float] | None = None,
        on_device: int = _ON_DEVICE,
    ) -> None:
        self._most_on_device = on_device
        revision = sha256(label.encode()).hexdigest()[:40]
        self.info = BaseInfo(revision, 0, {}, stages_s or {}, family=SDXL.family, blocks=SDXL)
        self._label = label
        self._timings = timings
        self._sleep = sleep
        self._active: tuple[tuple[str, float | Weighting], ...] = ()
        self._on_device: OrderedDict[str, None] = OrderedDict()
        self.device_evictions = 0
        self.compiled: CompileFigures | None = None

    def read(self, file: AdapterFile) -> HostAdapter:
        return StubAdapter(file.identity, file.sha256, file.facts.size_bytes)

    def batch(self, recipe: Recipe) -> int:
        return 1

    def mixes(self, adapter: HostAdapter) -> bool:
        return False

    def render(self, requests: Sequence[RenderRequest[HostAdapter]], waiting: int = 0) -> Sequence[Result]:
        return [self._made(request) for request in requests]

    def _made(self, request: RenderRequest[HostAdapter]) -> Result:
        start = time.monotonic()
        loads = len({scaled.adapter.identity for scaled in request.stack} - self._on_device.keys())
        is_switch = self._switch(request.stack)
        switched = time.monotonic()
        switch_s = switched - start if is_switch else 0.0
        recipe = request.recipe
        total = recipe.steps * recipe.images
        # What is drawn later holds no weights: the host's budget is for those of requests that run or come next.
        adapters = tuple((scaled.adapter.identity, scaled.scale) for scaled in request.stack)
        draw_each = [partial(draw, self._label, recipe, adapters, seed) for seed in recipe.seeds]
        for number in range(1, total + 1):
            self._pretend(self._timings.step_milliseconds / 1000, request.stop)
            request.on_step(Step(number, total, draw_each[0] if request.shows(number, total) else None))
        applied = Applied.UNMERGED if request.stack else Applied.NONE
        inference_s = time.monotonic() - switched

        def finish() -> Rendering:
            images = tuple(draw_one() for draw_one in draw_each)
            return Rendering(images, 0.0, switch_s, inference_s, applied=applied, loads=loads)

        return Unfinished(finish)

    def prefetch(self, adapters: Sequence[HostAdapter]) -> None:
        pass

    def merge_loss(self, adapter: HostAdapter, stop: Callable[[], bool]) -> float | None:
        return None  # there are no weights

    def check(self) -> None:
        pass

    def flagged(self, images: Sequence[Image]) -> Sequence[bool]:
        """Raises: ModelError."""
        raise ModelError(NO_CHECKER)

    def sleep(self, stop: Callable[[], bool]) -> None:
        """Raises: Stopped."""
        if stop():
            raise Stopped
        self._on_device.clear()
        self._active = ()

    def wake(self) -> None:
        self._sleep(self._timings.wake_milliseconds / 1000)

    @property
    def device_bytes(self) -> int:
        return 0

    def pin(self, identities: Collection[str]) -> None:
        pass

    def on_device(self) -> frozenset[str]:
        return frozenset(self._on_device.copy())

    def forget(self, identity: str) -> None:
        self._on_device.pop(identity, None)

    def _switch(self, stack: Sequence[ScaledAdapter[HostAdapter]]) -> bool:
        """Whether another stack was active."""
        wanted = tuple((scaled.adapter.identity, scaled.scale) for scaled in stack)
        if is_switch := wanted != self._active:
            self._sleep(self._timings.switch_milliseconds / 1000)
            self._active = wanted
        for identity, _ in wanted:
            self._on_device[identity] = None
            self._on_device.move_to_end(identity)
        while len(self._on_device) > self._most_on_device:
            self._on_device.popitem(last=False)
            self.device_evictions += 1
        return is_switch

    def _pretend(self, seconds: float, stop: Callable[[], bool]) -> None:
        while True:
            if stop():
                raise Stopped
            if seconds <= 0:
                return
            self._sleep(min(seconds, _TICK_S))
            seconds -= _TICK_S
