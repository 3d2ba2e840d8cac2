"""How long the pod has worked with each adapter: what the operator places copies by."""

from collections.abc import Iterable, Mapping

from lorapool_api.wire.state import MOST_BUSY


class Usage:
    """Lives on the event loop. Remembers the adapters that were used last."""

    def __init__(self) -> None:
        self._busy_s: dict[str, float] = {}

    @property
    def busy_s(self) -> Mapping[str, float]:
        """Seconds by adapter's key, the one that was used last at the end."""
        return self._busy_s

    def note(self, keys: Iterable[str], busy_s: float) -> None:
        """The engine has worked so long for a request with these adapters."""
        for key in dict.fromkeys(keys):
            self._busy_s[key] = self._busy_s.pop(key, 0.0) + busy_s
            if len(self._busy_s) > MOST_BUSY:
                del self._busy_s[next(iter(self._busy_s))]
