"""How long an event loop was kept from its turns, as a task on it sees it, and what it waited for."""

import asyncio
import os
import time
from pathlib import Path
from typing import Final, NamedTuple

_EACH_S: Final = 0.005
# Shorter ones are not written down.
_LEAST_S: Final = 0.01


class Stall(NamedTuple):
    """One that was seen.

    Attributes:
        at_s: on the clock of `time.monotonic`, which all processes of a machine share.
        late_s: how much later than its time the loop came round.
        own_s: CPU of the loop's own thread until then.
        core_s: how long that thread could have run until then, and had no core: others ran. As the kernel counts it
            (`run_delay` in Documentation/scheduler/sched-stats.rst).
    """

    at_s: float
    late_s: float
    own_s: float
    core_s: float

    @property
    def apart_s(self) -> float:
        """How late it was by the pod's own doing: its work, and waiting for other threads of its process."""
        return max(self.late_s - self.core_s, 0.0)


async def watch(file: Path) -> None:
    """Write them down, until cancelled."""
    times = os.open("/proc/thread-self/schedstat", os.O_RDONLY)
    try:
        with file.open("a", buffering=1) as log:
            while True:
                began_s, own_s, core_s = time.monotonic(), time.thread_time(), _without_core_s(times)
                await asyncio.sleep(_EACH_S)
                at_s = time.monotonic()
                late_s = at_s - began_s - _EACH_S
                if late_s > _LEAST_S:
                    waited_s = _without_core_s(times) - core_s
                    log.write(f"{at_s} {late_s} {time.thread_time() - own_s} {waited_s}\n")
    finally:
        os.close(times)


def _without_core_s(file: int) -> float:
    """How long the thread of that file has waited for a core so far."""
    return int(os.pread(file, 100, 0).split()[1]) / 1e9


def seen(file: Path, since_s: float) -> list[Stall]:
    """Those since then."""
    rows = (Stall(*map(float, line.split())) for line in file.read_text().splitlines() if line.count(" ") == 3)
    return [stall for stall in rows if stall.at_s >= since_s]
