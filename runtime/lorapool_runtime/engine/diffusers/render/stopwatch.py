"""How long each stage of a render takes."""

import time
from collections import defaultdict
from collections.abc import Callable


class Stopwatch:
    """Measures stages that follow each other, from its making on."""

    def __init__(self, wait_for_render: Callable[[], None], clock: Callable[[], float] = time.monotonic) -> None:
        """`wait_for_render` returns when the device has done its part: what is only queued is not done."""
        self._wait_for_render = wait_for_render
        self._clock = clock
        self._laps: defaultdict[str, float] = defaultdict(float)
        self._began_s = clock()

    def lap(self, stage: str) -> None:
        """All that passed since the last lap was this stage; one that comes again adds up."""
        self._wait_for_render()
        now_s = self._clock()
        self._laps[stage] += now_s - self._began_s
        self._began_s = now_s

    def seconds(self, stage: str) -> float:
        return self._laps[stage]
