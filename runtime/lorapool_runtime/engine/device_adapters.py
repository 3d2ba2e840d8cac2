"""The adapters on the device, also while there is no engine yet."""

import asyncio
from collections.abc import Collection

from lorapool_runtime.engine.compile_figures import CompileFigures
from lorapool_runtime.engine.contract import WarmEngine


class DeviceAdapters:
    """Asks the engine, once there is one, and pins what was to be pinned before. Lives on the event loop."""

    def __init__(self, warm: "asyncio.Future[WarmEngine]") -> None:
        self._warm = warm
        self._pinned: frozenset[str] = frozenset()
        warm.add_done_callback(lambda _: self.pin(self._pinned))

    @property
    def size_bytes(self) -> int:
        """Device memory that they take."""
        return self._warm.result().device_bytes if self._is_warm else 0

    @property
    def evictions(self) -> int:
        """How many have left it so far because others needed the room."""
        return self._warm.result().device_evictions if self._is_warm else 0

    @property
    def compiled(self) -> CompileFigures:
        """What became of the denoiser's graphs; zeros where there are none."""
        return (self._warm.result().compiled if self._is_warm else None) or CompileFigures(0, 0, 0)

    def on_device(self) -> frozenset[str]:
        """Their identities."""
        return self._warm.result().on_device() if self._is_warm else frozenset()

    def pin(self, identities: Collection[str]) -> None:
        """From now on these, and no others, are never evicted."""
        self._pinned = frozenset(identities)
        if self._is_warm:
            self._warm.result().pin(self._pinned)

    def forget(self, identity: str) -> None:
        """Free what the engine holds of an adapter, as soon as nothing that runs needs it."""
        if self._is_warm:
            self._warm.result().forget(identity)

    @property
    def _is_warm(self) -> bool:
        return self._warm.done() and not self._warm.cancelled()
