"""The programs of the control plane: found, downloaded or built."""

from lorapool_local.binaries.acquire import ensure_binaries
from lorapool_local.binaries.tools import Binaries

__all__ = ["Binaries", "ensure_binaries"]
