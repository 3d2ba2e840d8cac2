"""The event loop of a busy process has its turns."""

import gc
import sys
from typing import Final

# Threads that load files take turns with the loop: each may keep it waiting for so long. Python's own is 5 ms.
_SWITCH_S: Final = 0.001


def prefer_the_loop() -> None:
    """Make other threads give way sooner, and take what the process has now out of the collector's sight.

    It stays, whatever comes: to look through hundreds of thousands of objects again and again, the loop would stand
    still for as long each time.
    """
    sys.setswitchinterval(_SWITCH_S)
    gc.collect()
    gc.freeze()
