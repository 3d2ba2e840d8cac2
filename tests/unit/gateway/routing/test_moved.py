"""Requests for adapters that have moved to another pool since their names were looked up."""

import pytest
from tests import make
from tests.unit.gateway.fakes import ready, snapshot
from tests.unit.gateway.serve.asked import REQUEST

from lorapool_api.kinds.adapter import Adapter
from lorapool_api.wire.request import AdapterUse
from lorapool_gateway.cluster.snapshot import Snapshot
from lorapool_gateway.errors import AdapterUnavailable
from lorapool_gateway.routing.moved import at_its_pool
from lorapool_gateway.routing.request import ImageRequest, ResolvedRequest
from lorapool_gateway.routing.resolve import resolve

POOLS = (make.pool(), make.pool("other"))


def served_by(pool: str, name: str = "pixel") -> Adapter:
    """An adapter that belongs to `other`, and is served by that pool."""
    adapter = ready(name, pool="other")
    return adapter.model_copy(update={"status": adapter.status.model_copy(update={"pool_name": f"default/{pool}"})})


def asked(*names: str) -> ResolvedRequest:
    uses = tuple(AdapterUse(key=f"default/{name}") for name in names)
    return ResolvedRequest("default/shapes", REQUEST.model_copy(update={"adapters": uses}))


def known(*adapters: Adapter) -> Snapshot:
    return snapshot(POOLS, adapters)


@pytest.mark.parametrize("pool", ["shapes", "other"])
def test_a_name_stands_for_the_adapter_in_the_pool_that_serves_it(pool: str) -> None:
    found = resolve(ImageRequest(REQUEST, model="pixel"), known(served_by(pool)))
    assert (found.pool, found.adapters) == (f"default/{pool}", ("default/pixel",))


def test_a_request_that_is_held_follows_its_adapter() -> None:
    assert at_its_pool(asked("pixel"), known(served_by("shapes"))).pool == "default/shapes"
    assert at_its_pool(asked("pixel"), known(served_by("other"))).pool == "default/other"
    assert at_its_pool(asked(), known()).pool == "default/shapes"


def test_a_stack_waits_until_all_of_it_has_moved() -> None:
    with pytest.raises(AdapterUnavailable, match="moved to pool default/other") as refused:
        at_its_pool(asked("pixel", "ink"), known(served_by("other"), served_by("shapes", "ink")))
    assert refused.value.transient
    both = known(served_by("other"), served_by("other", "ink"))
    assert at_its_pool(asked("pixel", "ink"), both).pool == "default/other"


def test_an_adapter_for_which_no_pool_was_found_says_why() -> None:
    condition = {"type": "Accepted", "status": "False", "reason": "PoolNotFound", "message": "no pool holds x/y"}
    adapter = make.adapter(poolRef=None, source={"hub": {"repo": "a/b"}})
    status = {"conditions": [condition | {"observedGeneration": 1}]}
    lost = Adapter.model_validate(adapter.model_dump(by_alias=True) | {"status": status})
    with pytest.raises(AdapterUnavailable, match="no pool holds x/y"):
        resolve(ImageRequest(REQUEST, model="pixel"), known(lost))
