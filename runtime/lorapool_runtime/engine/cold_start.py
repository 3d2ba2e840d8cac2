"""How the process came up, from its start to its first image."""

import time
from collections.abc import Callable

from lorapool_api.wire.state import BaseState


class StartTimes:
    """Lives on the event loop. Times are on the clock of the process's start."""

    def __init__(
        self,
        base: Callable[[], BaseState],
        started_s: float,
        on_change: Callable[[], object],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`on_change` is called after the first image; a catalog is a change of its own."""
        self._base = base
        self._on_change = on_change
        self._started_s = started_s
        self._clock = clock
        self._catalog_s: float | None = None
        self._image_s: float | None = None

    def note_catalog(self) -> None:
        """A catalog has arrived."""
        if self._catalog_s is None:
            self._catalog_s = self._clock()

    def note_image(self, took_s: float) -> None:
        """A request was answered with images, after so long."""
        if self._image_s is None:
            self._image_s = took_s
            self._on_change()

    @property
    def stages_s(self) -> dict[str, float]:
        """Seconds of each stage that is over, in their order; what passed while nobody asked is in none."""
        base = self._base()
        if base.cold_start_s is None:
            return {}
        stages = dict(base.stages_s)
        if self._catalog_s is not None:
            stages["catalog"] = round(max(0.0, self._catalog_s - self._started_s - base.cold_start_s), 3)
        if self._image_s is not None:
            stages["image"] = round(self._image_s, 3)
        return stages
