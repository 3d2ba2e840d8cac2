"""How long each stage of a render takes."""

from collections.abc import Callable

from lorapool_runtime.engine.diffusers.device.accelerator import Moment


class Stopwatch:
    """Measures stages that follow each other, from its making on, without waiting for the device between them.

    What the device still does for an earlier request when the first stage begins is no part of any stage.
    """

    def __init__(self, moment: Callable[[], Moment]) -> None:
        """`moment` is the one after all that was launched so far."""
        self._moment = moment
        self._laps: list[tuple[str, Moment, Moment]] = []
        self._last = moment()

    def lap(self, stage: str) -> None:
        """All that was launched since the last lap was this stage; one that comes again adds up."""
        now = self._moment()
        self._laps.append((stage, self._last, now))
        self._last = now

    def seconds(self, stage: str) -> float:
        """Waits for the device. Any thread."""
        return sum(end.since(begin) for name, begin, end in self._laps if name == stage)
