"""What a write of ours returned is not read anew where nobody else has changed the object."""

from typing import Any

import pytest
from tests import make

from lorapool_api.kinds.adapter import Adapter, AdapterStatus
from lorapool_api.names import ADAPTER_FINALIZER
from lorapool_operator.cluster.cache import ObjectCache
from lorapool_operator.cluster.own_writes import with_finalizers, with_status

Manifest = dict[str, Any]
STATUS = AdapterStatus(observed_generation=1, pool_name="default/shapes", summary="Served")


def reply(adapter: Adapter, status: Manifest | None = None, **metadata: Any) -> Manifest:
    """As the API server answers, after a write that made version 2."""
    body = adapter.manifest()
    meta = {k: v for k, v in (body["metadata"] | {"resourceVersion": "2"} | metadata).items() if v is not None}
    return body | {"metadata": meta, "status": STATUS.manifest() if status is None else status}


def test_the_status_that_was_written_is_the_object_that_was_decided() -> None:
    before = make.adapter(metadata={"resourceVersion": "1"})
    now = with_status(before, STATUS, STATUS.manifest(), reply(before))
    assert now is not None
    assert now.status is STATUS
    assert now.spec is before.spec
    assert now == Adapter.model_validate(reply(before))


def test_the_finalizer_that_was_written_is_there() -> None:
    before = make.adapter(metadata={"resourceVersion": "1"})
    written = reply(before, {}, finalizers=[ADAPTER_FINALIZER])
    now = with_finalizers(before, (ADAPTER_FINALIZER,), written)
    assert now == Adapter.model_validate(written)


@pytest.mark.parametrize(
    "edit",
    [
        {"generation": 2},
        {"labels": {"team": "a"}},
        {"annotations": {"lorapool.dev/paused": "true"}},
        {"deletionTimestamp": "2026-01-01T00:00:00Z"},
        {"finalizers": ["somebody.else/waits"]},
        {"uid": "another"},
    ],
)
def test_what_somebody_else_has_changed_is_read(edit: Manifest) -> None:
    before = make.adapter(metadata={"resourceVersion": "1"})
    assert with_status(before, STATUS, STATUS.manifest(), reply(before, **edit)) is None
    assert with_finalizers(before, (), reply(before, **edit)) is None


def test_a_status_of_which_somebody_else_wrote_a_part_is_read() -> None:
    before = make.adapter(metadata={"resourceVersion": "1"})
    mixed = STATUS.manifest() | {"candidate": {"message": "somebody's"}}
    assert with_status(before, STATUS, STATUS.manifest(), reply(before, mixed)) is None


def test_the_cache_takes_it_over_and_the_watch_that_tells_of_it_brings_nothing_new() -> None:
    woken: list[str] = []
    cache = ObjectCache(woken.append)
    before = make.adapter(metadata={"resourceVersion": "1"})
    cache.adapters.put(before.key, before)
    now = with_status(before, STATUS, STATUS.manifest(), reply(before))
    assert cache.put_own(reply(before), now) == set()
    assert cache.adapters.get(before.key) is now
    assert cache.adapters.put_manifest(reply(before)) == set()
    assert cache.adapters.get(before.key) is now
