"""What a client of A1111 asks for while its images are made: how far they are, and to stop."""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from lorapool_api.wire.reply import StepReport

# Of its menu's steps a request shows so many pictures of what it becomes.
PREVIEWS: Final = 3
Clock = Callable[[], datetime]


@dataclass
class RunningRequest:
    """A request that runs.

    Attributes:
        interrupted: set to end it.
        last, preview: the last step, and the last one that showed something.
    """

    began: datetime
    interrupted: asyncio.Event = field(default_factory=asyncio.Event)
    last: StepReport | None = None
    preview: str | None = None

    def step(self, step: StepReport) -> None:
        """Take note of a step."""
        self.last = step
        self.preview = step.preview or self.preview


class RunningRequests:
    """The requests of each caller. Another gateway knows those that came to it, and no others."""

    def __init__(self, clock: Clock = lambda: datetime.now(UTC)) -> None:
        self._clock = clock
        self._of: defaultdict[bytes, list[RunningRequest]] = defaultdict(list)

    @contextmanager
    def request(self, caller: bytes) -> Iterator[RunningRequest]:
        """One that runs for as long as the block does."""
        made = RunningRequest(self._clock())
        self._of[caller].append(made)
        try:
            yield made
        finally:
            self._of[caller].remove(made)
            if not self._of[caller]:
                del self._of[caller]

    def interrupt(self, caller: bytes) -> None:
        """End all that the caller has."""
        for one in self._of.get(caller, ()):
            one.interrupted.set()

    def progress(self, caller: bytes, *, with_image: bool) -> dict[str, Any]:
        """`GET progress`: of the caller's oldest request that runs; `job_count` says how many it has."""
        running = self._of.get(caller, [])
        if not running:
            return _progress(0.0, 0.0, None, None, "", 0)
        oldest = running[0]
        share = oldest.last.number / oldest.last.of if oldest.last else 0.0
        spent_s = (self._clock() - oldest.began).total_seconds()
        left_s = spent_s * (1 - share) / share if share else 0.0
        image = oldest.preview if with_image else None
        return _progress(share, left_s, oldest, image, oldest.began.strftime("%Y%m%d%H%M%S"), len(running))


def _progress(
    share: float, left_s: float, oldest: RunningRequest | None, image: str | None, timestamp: str, count: int
) -> dict[str, Any]:
    last = oldest.last if oldest else None
    state = {
        "skipped": False,
        "interrupted": bool(oldest and oldest.interrupted.is_set()),
        "stopping_generation": False,
        "job": "scripts_txt2img" if oldest else "",
        "job_count": count,
        "job_timestamp": timestamp,
        "job_no": 0,
        "sampling_step": last.number if last else 0,
        "sampling_steps": last.of if last else 0,
    }
    return {
        "progress": round(share, 4),
        "eta_relative": round(left_s, 3),
        "state": state,
        "current_image": image,
        "textinfo": None,
    }
