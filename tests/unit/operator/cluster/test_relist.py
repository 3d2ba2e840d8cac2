"""A list puts right what the watches missed."""

from typing import Any

from lorapool_common.kube.resources import NAMESPACES, Manifest, Resource
from lorapool_operator.cluster.cache import ObjectCache
from lorapool_operator.cluster.relist import Relister


class Lists:
    """Lists namespaces, and nothing else."""

    def __init__(self) -> None:
        self.namespaces: list[Manifest] = []

    async def list(self, resource: Resource, namespace: str | None = None, labels: str | None = None) -> list[Manifest]:
        return self.namespaces if resource is NAMESPACES else []


def namespace(name: str, **metadata: Any) -> Manifest:
    return {"metadata": {"name": name, **metadata}}


async def test_a_namespace_whose_deletion_no_watch_saw_is_forgotten() -> None:
    lists, cache = Lists(), ObjectCache(lambda _: None)
    relister = Relister(lists, cache, ())
    lists.namespaces = [namespace("stays", labels={"team": "a"}), namespace("goes", deletionTimestamp="2026-01-01")]
    await relister.run()
    assert cache.namespaces == {"stays": {"team": "a"}, "goes": {}}
    assert cache.terminating_namespaces == {"goes"}

    lists.namespaces = lists.namespaces[:1]
    await relister.run()
    assert cache.namespaces == {"stays": {"team": "a"}}
    assert cache.terminating_namespaces == set()


async def test_an_operator_of_some_namespaces_lists_none() -> None:
    lists, cache = Lists(), ObjectCache(lambda _: None)
    lists.namespaces = [namespace("other")]
    await Relister(lists, cache, ("mine",)).run()
    assert cache.namespaces == {}
