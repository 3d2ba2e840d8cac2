"""Who asks, and what their API key allows: frozen values."""

from dataclasses import dataclass
from typing import Final

from limits import RateLimitItem

from lorapool_api.names import split_full_name
from lorapool_api.rules.undeclared import undeclared_repo


@dataclass(frozen=True)
class Scope:
    """The models that a key may use. Each list that is there narrows what the others leave; None: no bound.

    Attributes:
        namespaces: of adapters and, for the bare base, of pools.
        pools: keys of pools that may make its images; these bases may be used bare.
        adapters: keys of adapters, and repositories of the Hub that nobody declares.
    """

    namespaces: frozenset[str] | None = None
    pools: frozenset[str] | None = None
    adapters: frozenset[str] | None = None

    @property
    def is_bounded(self) -> bool:
        return (self.namespaces, self.pools, self.adapters) != (None, None, None)

    def allows_pool(self, pool: str) -> bool:
        """Whether the pool may make images of what is allowed otherwise."""
        return self.pools is None or pool in self.pools

    def allows(self, pool: str, adapter: str | None) -> bool:
        """Whether this adapter of the pool, or its bare base (None), may be used."""
        if not self.allows_pool(pool):
            return False
        if adapter is None:
            return self.pools is not None or (self.adapters is None and self._allows_namespace_of(pool))
        repo = undeclared_repo(adapter)
        if self.adapters is not None and (repo or adapter) not in self.adapters:
            return False
        # What nobody declares is in no namespace: that of the pool that serves it counts.
        return self._allows_namespace_of(pool if repo else adapter)

    def _allows_namespace_of(self, key: str) -> bool:
        return self.namespaces is None or split_full_name(key)[0] in self.namespaces


EVERYTHING: Final = Scope()


@dataclass(frozen=True)
class Caller:
    """Whose request it is.

    Attributes:
        name: of the key; empty where everyone may ask.
        id: a digest of the key; empty where everyone may ask.
        rates: images in a time that all requests with the key may ask for.
        concurrent: how many requests with the key may be under way at once; None: no bound of its own.
        max_priority: the highest priority that a request may ask for.
        max_deadline_s: the longest time that a request may take; None: what the pool gives.
    """

    name: str = ""
    id: bytes = b""
    scope: Scope = EVERYTHING
    rates: tuple[RateLimitItem, ...] = ()
    concurrent: int | None = None
    max_priority: int = 0
    max_deadline_s: float | None = None


ANYONE: Final = Caller()
