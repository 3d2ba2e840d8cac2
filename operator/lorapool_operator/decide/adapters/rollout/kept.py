"""What pods keep of adapters about which nothing is to be done."""

from collections.abc import Collection, Iterable
from operator import attrgetter

from lorapool_api.names import adapter_of
from lorapool_api.wire.catalog import CatalogEntry
from lorapool_operator.decide.adapters.checker import CheckResult, CheckResults


def kept_entries(
    entries: tuple[CatalogEntry, ...],
    paused: Iterable[str],
    results: CheckResults,
    before: Iterable[CatalogEntry],
    known: Collection[str],
) -> tuple[CatalogEntry, ...]:
    """The entries, those of paused adapters as pods were told them last, in order of their keys.

    Args:
        entries: what pods would have.
        paused: keys of the adapters.
        before: what pods were told last.
        known: keys of the adapters at that time. Of others, after a restart, what the status says is served is kept.
    """
    kept = set(paused)
    if not kept:
        return entries
    others = [entry for entry in entries if adapter_of(entry.key) not in kept]
    last = [entry for entry in before if adapter_of(entry.key) in kept]
    unknown = (_served(results[key]) for key in kept - set(known) if key in results)
    return tuple(sorted((*others, *last, *(e for e in unknown if e is not None)), key=attrgetter("key")))


def _served(result: CheckResult) -> CatalogEntry | None:
    return result.entry if result.version is not None else None
