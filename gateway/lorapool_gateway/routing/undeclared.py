"""Names of repositories that no LoraAdapter declares, and the pools that serve such on demand: pure."""

from collections.abc import Iterable, Sequence

from lorapool_api.kinds.pool import Undeclared
from lorapool_api.rules.undeclared import is_repo_id, undeclared_key, undeclared_repo
from lorapool_gateway.cluster.snapshot import Model, Snapshot


def undeclared_models(name: str, snapshot: Snapshot) -> frozenset[Model]:
    """What a name that nothing has may stand for: the repository of the Hub, in each pool that takes such."""
    willing = [key for key, pool in snapshot.pools.items() if pool.spec.adapters.undeclared is Undeclared.HUB]
    if not willing or not is_repo_id(name):
        return frozenset()
    return frozenset(Model(pool, undeclared_key(name)) for pool in willing)


def is_undeclared(models: Iterable[Model]) -> bool:
    """Whether all of these are repositories that nobody declares."""
    return all(model.adapter is not None and undeclared_repo(model.adapter) is not None for model in models)


def in_turn(pools: Iterable[str], snapshot: Snapshot) -> Sequence[str]:
    """The pools in the order in which they are asked whether they hold the base of the repository's card: those with
    pods first. Which base that is, the gateway does not know."""
    return sorted(pools, key=lambda pool: (not snapshot.pods_of(pool), pool))
