"""A loop that takes in thousands of adapters is not held up by the collector of garbage."""

import subprocess
import sys

_MANY = """
import gc
from lorapool_runtime.turns import prefer_the_loop
prefer_the_loop()
before = gc.get_stats()
kept = [[number] for number in range(300_000)]
made = [now["collections"] - then["collections"] for then, now in zip(before, gc.get_stats())]
for number in range(100_000):
    cycle = []
    cycle.append(cycle)
del cycle
found = gc.get_stats()[1]["collected"] + gc.get_stats()[0]["collected"]
print(made[2], found)
"""


def test_what_stays_is_not_looked_through_again_and_what_goes_soon_is_found() -> None:
    said = subprocess.run([sys.executable, "-c", _MANY], capture_output=True, text=True, check=True, timeout=60)
    looked_through, found = map(int, said.stdout.split())
    assert looked_through == 0
    assert found > 50_000
