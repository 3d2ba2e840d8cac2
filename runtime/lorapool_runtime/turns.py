"""The event loop of a busy process has its turns."""

import gc
import sys
from typing import Final

# Threads that load files take turns with the loop: each may keep it waiting for so long. Python's own is 5 ms.
_SWITCH_S: Final = 0.001
# Objects that came and did not go before the collector looks at those; how many such looks before it looks at what has
# outlived one, and at all that there is. With Python's own (700, 10, 10) a pod that took in ten thousand adapters stood
# still for 50 to 90 ms again and again, and where the second look is at 50,000 objects for 20 ms. Cycles of long-lived
# objects are freed late: at two millions.
_COLLECTED_AT: Final = (5_000, 2, 200)


def prefer_the_loop() -> None:
    """Make other threads give way sooner, and take what the process has now out of the collector's sight.

    It stays, whatever comes: to look through hundreds of thousands of objects again and again, the loop would stand
    still for as long each time.
    """
    sys.setswitchinterval(_SWITCH_S)
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_COLLECTED_AT)
