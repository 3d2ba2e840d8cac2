"""What the catalog asks of the device."""

from collections.abc import Collection
from typing import Protocol


class DeviceCache(Protocol):
    """The adapters on the device; the engine decides which of them stay, but for those that are pinned."""

    def on_device(self) -> frozenset[str]: ...
    def pin(self, identities: Collection[str]) -> None: ...
    def forget(self, identity: str) -> None: ...
