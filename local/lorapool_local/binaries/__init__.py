"""The programs of the control plane: found, downloaded or built."""

from lorapool_local.binaries.acquire import ensure_binaries, ensure_node_binaries
from lorapool_local.binaries.tools import Binaries, NodeBinaries

__all__ = ["Binaries", "NodeBinaries", "ensure_binaries", "ensure_node_binaries"]
