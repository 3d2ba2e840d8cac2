"""The gateway's command with another choice of a pod: `python -m lorapool_bench.routing.real.gateway WAY`."""

import os
import sys
from collections.abc import Collection, Sequence

from lorapool_bench.routing.choices import LEAST, RANDOM, Choose, at_random, by_load
from lorapool_gateway.main import serve
from lorapool_gateway.routing.costs.load import PodLoad, Work

# Gateways with the same seed would choose the same pods in the same order.
_WAYS: dict[str, Choose] = {RANDOM: at_random(seed=os.getpid()), LEAST: by_load}


def choice(way: str) -> None:
    """Serve with that way until the process is ended."""
    choose = _WAYS[way]

    def among(loads: Sequence[PodLoad], work: Work, avoid: Collection[str]) -> PodLoad | None:
        others = [load for load in loads if load.pod.uid not in avoid]
        return choose(others or loads, work) if loads else None

    serve(among)


if __name__ == "__main__":
    choice(sys.argv[1])
