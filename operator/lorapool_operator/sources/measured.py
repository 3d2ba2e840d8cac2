"""Looks at sources, counted."""

import time
from collections.abc import Callable
from typing import Final

import structlog

from lorapool_api.fetch.policy import SourceRefused
from lorapool_api.kinds.sources import AdapterSource
from lorapool_api.lora.header import FactsError
from lorapool_operator.metrics import Metrics
from lorapool_operator.seen.resolution import Resolution
from lorapool_operator.sources.resolver import LooksAtSources

log = structlog.get_logger(__name__)

_KINDS: Final = AdapterSource.model_fields.keys() - {"token_secret_ref"}
_OK: Final = "ok"
# It took too long, or nobody waits for it any more.
_UNANSWERED: Final = "unanswered"


class MeasuredSources:
    """Asks another reader, and counts how that ended and how long it took."""

    def __init__(self, sources: LooksAtSources, metrics: Metrics, clock: Callable[[], float] = time.monotonic) -> None:
        self._sources = sources
        self._metrics = metrics
        self._clock = clock

    async def look(self, source: AdapterSource, namespace: str) -> Resolution:
        """As the other does. Raises: SourceRefused, FactsError."""
        kind = next((kind for kind in _KINDS if getattr(source, kind) is not None), "unknown")
        began_s, result = self._clock(), _UNANSWERED
        try:
            found = await self._sources.look(source, namespace)
            result = _OK
        except (SourceRefused, FactsError) as error:
            result = str(error.reason)
            log.info("a source is refused", source=source.label, reason=error.reason, error=error.message[:500])
            raise
        finally:
            self._metrics.lookups.labels(kind, result).inc()
            self._metrics.lookup_seconds.labels(kind).observe(self._clock() - began_s)
        return found
