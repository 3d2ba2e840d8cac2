"""How long an event loop was kept from its turns, as a task on it sees it."""

import asyncio
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
        own_s: CPU of the loop's own thread until then: the rest it waited for other threads and processes.
    """

    at_s: float
    late_s: float
    own_s: float


async def watch(file: Path) -> None:
    """Write them down, until cancelled."""
    with file.open("a", buffering=1) as log:
        while True:
            began_s, own_s = time.monotonic(), time.thread_time()
            await asyncio.sleep(_EACH_S)
            at_s = time.monotonic()
            late_s = at_s - began_s - _EACH_S
            if late_s > _LEAST_S:
                log.write(f"{at_s} {late_s} {time.thread_time() - own_s}\n")


def seen(file: Path, since_s: float) -> list[Stall]:
    """Those since then."""
    rows = (Stall(*map(float, line.split())) for line in file.read_text().splitlines() if line.count(" ") == 2)
    return [stall for stall in rows if stall.at_s >= since_s]
