"""When this process started."""

import os
import time
from pathlib import Path
from typing import Final

# After the program's name in brackets, which may hold anything: the 22nd field of proc(5)'s stat.
_START_TIME_FIELD: Final = 22 - 3


def process_start_s() -> float:
    """The process's start on the clock of `time.monotonic`; this moment where the system does not tell."""
    now = time.monotonic()
    try:
        fields = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return now
    since_boot_s = int(fields[_START_TIME_FIELD]) / os.sysconf("SC_CLK_TCK")
    return now - (time.clock_gettime(time.CLOCK_BOOTTIME) - since_boot_s)
