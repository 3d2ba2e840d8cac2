"""Placement by itself, of more adapters and pods than any machine here can run: the operator's own code, and no I/O."""

import time
from collections import Counter
from collections.abc import Mapping, Sequence

from lorapool_bench.fleet.result import PlacementRun
from lorapool_operator.placement.place import Holder, PlacedCopies, WantedCopies, place
from lorapool_operator.placement.ranks import Ranks

_FILE_BYTES = 100 << 20


class Simulation:
    """A pool in memory."""

    def __init__(self, adapters: int, copies: int) -> None:
        self._wanted = [WantedCopies(f"team-{n % 50}/adapter-{n}", _FILE_BYTES, copies) for n in range(adapters)]
        self._keys = {wanted.key for wanted in self._wanted}
        self._ranks = Ranks()

    def placed(self, pods: Sequence[str], room_bytes: int | None = None) -> tuple[PlacedCopies, float]:
        """Who holds what, and the CPU seconds that it took."""
        began_s = time.process_time()
        self._ranks.follow(dict.fromkeys(pods, 1.0), self._keys)
        result = place(self._wanted, [Holder(name, room_bytes) for name in pods], self._ranks)
        return result, time.process_time() - began_s


def simulate(adapters: int, pods: int, copies: int) -> PlacementRun:
    """Place all, lose a pod, get it back, get one more, and place all on disks that are full to 95 in 100."""
    names = [f"serving/sdxl-{number:04x}" for number in range(pods)]
    pool = Simulation(adapters, copies)
    first, first_s = pool.placed(names)
    loads = Counter(name for held in first.pods.values() for name in held)
    without, went_s = pool.placed(names[:-1])
    again, _ = pool.placed(names)
    more, came_s = pool.placed([*names, "serving/sdxl-new"])
    due = adapters * copies
    tight, tight_s = pool.placed(names, int(due / pods / 0.95) * _FILE_BYTES)
    return PlacementRun(
        pods=pods, adapters=adapters, copies=copies, first_s=first_s, went_s=went_s, came_s=came_s, tight_s=tight_s,
        least=min(loads.values()), most=max(loads.values()),
        went_moved=_moved(first.pods, without.pods) / due, came_moved=_moved(first.pods, more.pods) / due,
        is_stable=again.pods == first.pods, tight_missing=sum(tight.missing.values()),
    )  # fmt: skip


def _moved(before: Mapping[str, Sequence[str]], after: Mapping[str, Sequence[str]]) -> int:
    """Copies that some pod must bring that did not hold them."""
    return sum(len(set(names) - set(before.get(key, ()))) for key, names in after.items())
