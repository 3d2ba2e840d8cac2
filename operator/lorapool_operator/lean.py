"""Libraries of a process that serves, without what they bring for terminals; import it before they are imported.

structlog looks for rich, to draw tracebacks that no service writes, and httpx for click and rich, for a command of its
own: both do without, and their imports took a tenth of the operator's start.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def absent(*packages: str) -> Iterator[None]:
    """Have imports of these fail within, unless somebody has imported them before."""
    hidden = [name for name in packages if name not in sys.modules]
    sys.modules |= dict.fromkeys(hidden)  # type: ignore[arg-type]  # None: the import system's own mark for it
    try:
        yield
    finally:
        for name in hidden:
            del sys.modules[name]


with absent("click", "rich"):
    import httpx
    import structlog

__all__ = ["httpx", "structlog"]
