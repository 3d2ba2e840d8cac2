"""Which models a key may use, and which names are told to it: pure."""

from collections.abc import Iterable
from itertools import islice
from typing import Final

from rapidfuzz import fuzz, process

from lorapool_gateway.callers.caller import EVERYTHING, Scope
from lorapool_gateway.cluster.snapshot import Model, Snapshot
from lorapool_gateway.errors import OutOfScope
from lorapool_gateway.routing.request import ResolvedRequest

NEAR_MISSES: Final = 3
NEAR_ENOUGH: Final = 75.0  # of 100: finds slips of a few letters
# Comparing so many takes some 5 ms, and anybody may ask for a name that does not exist.
MAX_COMPARED: Final = 20_000


def allowed_models(name: str, models: frozenset[Model], scope: Scope) -> frozenset[Model]:
    """Those that a request with the key may name. A pool that the key is not for bare may be named as the place of
    adapters that it is for.

    Raises:
        OutOfScope: there are some, and none of them is.
    """
    if not scope.is_bounded:
        return models
    found = frozenset(m for m in models if (is_allowed(m, scope) if m.adapter else scope.allows_pool(m.pool)))
    if models and not found:
        raise OutOfScope(name)
    return found


def is_allowed(model: Model, scope: Scope) -> bool:
    """Whether the key is for that model itself."""
    return scope.allows(model.pool, model.adapter)


def check_allowed(request: ResolvedRequest, scope: Scope) -> None:
    """Return where the key is for all that the request uses, in the pool where it is now.

    A stack counts as itself: a key that is for it may use what it stands for. Raises: OutOfScope.
    """
    if not scope.is_bounded:
        return
    for adapter in request.adapters or (None,):
        if not scope.allows(request.pool, adapter):
            raise OutOfScope(adapter or request.pool)


def allowed_pools(pools: Iterable[str], scope: Scope) -> list[str]:
    """The pools whose bare base the key is for."""
    return [pool for pool in pools if scope.allows(pool, None)]


def near_misses(name: str, snapshot: Snapshot, scope: Scope = EVERYTHING) -> tuple[str, ...]:
    """Names that the caller may have meant and may use, best first."""
    wanted = name[:256]
    names = snapshot.names
    if scope.is_bounded:
        listed = (whole for whole, models in names.items() if any(is_allowed(m, scope) for m in models))
        known = list(islice(listed, MAX_COMPARED))
    else:
        known = list(islice(names, MAX_COMPARED))
    ending = f"/{wanted}"
    with_owner = [whole for whole in known if whole.endswith(ending)][:NEAR_MISSES]
    alike = process.extract(wanted, known, scorer=fuzz.ratio, limit=NEAR_MISSES, score_cutoff=NEAR_ENOUGH)
    return tuple(dict.fromkeys([*with_owner, *(match for match, _, _ in alike)]))[:NEAR_MISSES]
