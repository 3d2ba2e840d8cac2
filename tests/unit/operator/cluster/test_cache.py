"""What the watches brought."""

from typing import Any

from tests import make
from tests.unit.operator import make as made
from tests.unit.operator import make as op

from lorapool_api.kinds.adapter import NO_POOL
from lorapool_operator.cluster.cache import ObjectCache


def test_older_words_about_an_object_are_ignored() -> None:
    cache = ObjectCache(lambda _: None)
    new = make.adapter(metadata={"resourceVersion": "20"})
    old = make.adapter(metadata={"resourceVersion": "9"})
    assert cache.adapters.put(new.key, new) == {"default/shapes"}
    assert cache.adapters.put(old.key, old) == set()
    assert cache.adapters.put(new.key, new) == set()
    assert cache.adapters.get(new.key) is new


def test_an_object_made_again_replaces_the_one_before_whatever_the_versions_say() -> None:
    cache = ObjectCache(lambda _: None)
    first = make.adapter(metadata={"resourceVersion": "20"})
    again = make.adapter(metadata={"resourceVersion": "5", "uid": "another"})
    cache.adapters.put(first.key, first)
    assert cache.adapters.put(again.key, again) == {"default/shapes"}
    assert cache.adapters.remove(first.key, first) == set(), "the late end of the first says nothing about the second"
    assert cache.adapters.get(again.key) is again


def test_a_list_made_before_a_deletion_does_not_bring_the_object_back() -> None:
    cache = ObjectCache(lambda _: None)
    listed = make.adapter(metadata={"resourceVersion": "5"})
    cache.adapters.put(listed.key, listed)
    cache.adapters.remove(listed.key, make.adapter(metadata={"resourceVersion": "8"}))
    assert cache.adapters.put(listed.key, listed) == set()
    assert cache.known_pools() == set()


def test_an_adapter_that_changes_pools_concerns_both() -> None:
    cache = ObjectCache(lambda _: None)
    here, there = (
        make.adapter(metadata={"resourceVersion": v}, poolRef={"name": n}) for v, n in (("1", "a"), ("2", "b"))
    )
    cache.adapters.put(here.key, here)
    assert cache.adapters.put(there.key, there) == {"default/a", "default/b"}
    assert cache.adapters.of_pool("default/a") == ()


def test_what_a_write_returned_does_not_bring_back_what_went_meanwhile() -> None:
    cache = ObjectCache(lambda _: None)
    adapter = make.adapter(metadata={"resourceVersion": "1"})
    cache.adapters.refresh(adapter.manifest())
    assert cache.adapters.get(adapter.key) is None


def test_labels_of_a_namespace_wake_the_pools_that_select() -> None:
    woken: list[str] = []
    cache = ObjectCache(woken.append)
    selecting = op.pool("a", adapters={"namespaces": {"from": "Selector", "selector": {}}})
    for pool in (selecting, op.pool("b")):
        cache.pools.put(pool.key, pool)
    for _ in range(2):
        cache.put_namespace({"metadata": {"name": "x", "labels": {"team": "a"}}})
    assert woken == ["default/a", NO_POOL]


TERMINATING = {"deletionTimestamp": "2026-01-01T00:00:00Z"}


def tell(cache: ObjectCache, name: str = "default", **metadata: Any) -> None:
    """As the watch does."""
    cache.put_namespace({"metadata": {"name": name, **metadata}})


def test_its_pools_are_woken_when_it_begins_to_go_and_when_it_is_there_again() -> None:
    woken: list[str] = []
    cache = ObjectCache(woken.append)
    for pool in (made.pool("a"), made.pool("b")):
        cache.pools.put(pool.key, pool)
    tell(cache)
    assert woken == []
    tell(cache, **TERMINATING)
    tell(cache, **TERMINATING)
    tell(cache, "other", **TERMINATING)
    assert sorted(woken) == [NO_POOL, "default/a", "default/b"]
    woken.clear()
    tell(cache)
    assert sorted(woken) == [NO_POOL, "default/a", "default/b"]


def test_adapters_that_are_alike_share_what_pydantic_keeps_of_them_and_no_copy_of_one_changes_another() -> None:
    cache = ObjectCache(lambda _: None)
    for name in ("a", "b"):
        cache.adapters.put_manifest(make.adapter(name).manifest())
    one, other = (cache.adapters.get(f"default/{name}") for name in ("a", "b"))
    assert one is not None
    assert other is not None
    assert one.spec.model_fields_set is other.spec.model_fields_set
    pinned = one.spec.model_copy(update={"sha256": "0" * 64})
    assert "sha256" in pinned.model_fields_set
    assert "sha256" not in other.spec.model_fields_set
    assert one == make.adapter("a")
