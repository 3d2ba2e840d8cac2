"""What the adapters of another namespace may take of a pool."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from lorapool_api.kinds.adapter import Adapter
from lorapool_api.kinds.conditions import Reason
from lorapool_api.kinds.pool import NamespaceQuota
from lorapool_api.kinds.quantities import human_bytes, quantity_bytes
from lorapool_operator.decide.adapters.names import NamesInput, admits
from lorapool_operator.seen.changed import differing_keys
from lorapool_operator.seen.desired import DesiredPool
from lorapool_operator.seen.resolution import Outcome, Resolution
from lorapool_operator.seen.verdict import Verdict

_BEGINNING: Final = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True)
class NamespaceShare:
    """What is left of its namespace's quota for one adapter, behind those that were there before it.

    Attributes:
        refused: why it is not accepted; None: it may be.
        left_bytes: the most that its file may have; None: as much as it likes.
        whole: what that is left of, in words.
    """

    refused: Verdict | None = None
    left_bytes: int | None = None
    whole: str = ""

    def refuses(self, size_bytes: int | None) -> Verdict | None:
        """Why it takes no file of that size; None: it does, or nobody knows the size."""
        if size_bytes is None or self.left_bytes is None or size_bytes <= self.left_bytes:
            return None
        text = f"the file has {human_bytes(size_bytes)}; {human_bytes(self.left_bytes)} are left of {self.whole}"
        return Verdict(Reason.QUOTA_EXCEEDED, f"{text}; delete another one, or ask the pool's owner for more")


UNBOUNDED: Final = NamespaceShare()


@dataclass(frozen=True)
class QuotaInput:
    """What the shares depend on: the pool, the adapters that are not being deleted, and by their keys what their
    sources turned out to be."""

    names: NamesInput
    live: Iterable[Adapter]
    outcomes: Mapping[str, Outcome]

    @property
    def pool(self) -> DesiredPool | None:
        return self.names.pool


def shares(given: QuotaInput) -> Mapping[str, NamespaceShare]:
    """By adapter's key, of those that the quota is about: adapters of other namespaces that may join.

    The oldest keep their place: what somebody adds takes nothing from what was there before.
    """
    pool = given.pool
    quota = None if pool is None else pool.spec.adapters.per_namespace
    if pool is None or quota is None:
        return {}
    by_namespace: defaultdict[str, list[Adapter]] = defaultdict(list)
    for adapter in given.live:
        space = adapter.metadata.namespace
        if space != pool.namespace and admits(pool, space, given.names.namespace_labels.get(space)):
            by_namespace[space].append(adapter)
    found: dict[str, NamespaceShare] = {}
    for space, adapters in by_namespace.items():
        oldest_first = sorted(adapters, key=lambda a: (a.metadata.creation_timestamp or _BEGINNING, a.key))
        found |= _shares_of(space, oldest_first, quota, given)
    return found


class Shares:
    """The shares of all adapters, from pass to pass."""

    def __init__(self) -> None:
        self._by_key: Mapping[str, NamespaceShare] = {}

    def changed_by(self, given: QuotaInput) -> set[str]:
        """Decide them anew; keys of those with another share than before."""
        before, self._by_key = self._by_key, shares(given)
        changed = differing_keys(before, self._by_key)
        return changed & {a.key for a in given.names.adapters} if changed else changed

    def of(self, key: str) -> NamespaceShare:
        return self._by_key.get(key, UNBOUNDED)


def _shares_of(
    namespace: str, oldest_first: Iterable[Adapter], quota: NamespaceQuota, given: QuotaInput
) -> dict[str, NamespaceShare]:
    most = {"adapters": quota.count, "pins": quota.pins}
    used: Counter[str] = Counter()
    room = None if quota.bytes is None else quantity_bytes(quota.bytes)
    whole = f"the {quota.bytes} for namespace {namespace} (spec.adapters.perNamespace.bytes of pool {_pool(given)})"
    found = {}
    for adapter in oldest_first:
        takes = {"adapters": 1, "pins": int(adapter.spec.pin)}
        over = [what for what, limit in most.items() if limit is not None and takes[what] and used[what] >= limit]
        if over:
            found[adapter.key] = NamespaceShare(_refusal(namespace, over[0], quota, given))
            continue
        used.update(takes)
        found[adapter.key] = NamespaceShare(left_bytes=room, whole=whole)
        size = 0 if adapter.spec.suspend else _size(adapter, given.outcomes.get(adapter.key))
        if room is not None and size <= room:
            room -= size
    return found


def _refusal(namespace: str, what: str, quota: NamespaceQuota, given: QuotaInput) -> Verdict:
    most, field = (quota.count, "count") if what == "adapters" else (quota.pins, "pins")
    remedy = "delete another one" if what == "adapters" else "take spec.pin from it or from another one"
    text = (
        f"pool {_pool(given)} takes at most {most} {what} of namespace {namespace} (spec.adapters.perNamespace.{field})"
    )
    return Verdict(Reason.QUOTA_EXCEEDED, f"{text}; {remedy}, or ask the pool's owner for more")


def _pool(given: QuotaInput) -> str:
    return "" if given.pool is None else given.pool.key


def _size(adapter: Adapter, outcome: Outcome | None) -> int:
    """Of the version that is served, else of the one that was found; 0 while nobody knows."""
    served = adapter.status.serving
    if served is not None and served.size_bytes is not None:
        return served.size_bytes
    return outcome.size_bytes or 0 if isinstance(outcome, Resolution) else 0
