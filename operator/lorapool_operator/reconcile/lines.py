"""What the log says of a pass: a line for each kind of write and its reason, none where nothing was written."""

from collections.abc import Iterable, Iterator
from typing import Final

import structlog

from lorapool_api.kinds.adapter import AdapterStatus
from lorapool_api.kinds.conditions import find
from lorapool_api.kinds.pool import Pool, PoolStatus
from lorapool_operator.decide.plan import StatusWrite

log = structlog.get_logger(__name__)

# So many objects of a line are named, and the others counted.
_NAMED: Final = 20


def log_statuses(pool: str, written: Iterable[StatusWrite]) -> None:
    """Those that were written, by what they say."""
    for (kind, reason), keys in _by_reason(written):
        log.info("statuses written", pool=pool, kind=kind, reason=reason, count=len(keys), objects=keys[:_NAMED])


def log_adapters(event: str, pool: str, keys: Iterable[str]) -> None:
    """What was done with these adapters."""
    if found := list(keys):
        log.info(event, pool=pool, count=len(found), objects=found[:_NAMED])


def _by_reason(written: Iterable[StatusWrite]) -> Iterator[tuple[tuple[str, str], list[str]]]:
    found: dict[tuple[str, str], list[str]] = {}
    for write in written:
        kind = "pool" if isinstance(write.about, Pool) else "adapter"
        found.setdefault((kind, _reason(write.status)), []).append(write.about.key)
    return iter(found.items())


def _reason(status: AdapterStatus | PoolStatus) -> str:
    """In one word: an adapter's summary, else why it is Ready or not."""
    ready = find(status.conditions, "Ready")
    said = status.summary if isinstance(status, AdapterStatus) else None
    return str(said or (ready.reason if ready else ""))
