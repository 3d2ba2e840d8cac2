"""Names across namespaces: none can take a name from another, or make it ambiguous."""

from datetime import timedelta
from typing import Any

import pytest
from tests import make
from tests.unit.gateway.fakes import ready, snapshot
from tests.unit.gateway.routing.test_resolve import resolved

from lorapool_api.kinds.adapter import Adapter
from lorapool_api.kinds.status.names import HeldName
from lorapool_gateway.cluster.snapshot import Snapshot, other_names
from lorapool_gateway.errors import BadRequest
from lorapool_gateway.http.models import find_model
from lorapool_gateway.routing.request import NamedAdapter

TEAM = {"name": "shapes", "namespace": "default"}


def held(adapter: Adapter, age_s: float, *names: str) -> Adapter:
    """The adapter with these names since then, whenever it was created."""
    rows = tuple(HeldName(name=name, since=make.EPOCH - timedelta(seconds=age_s)) for name in names)
    status = adapter.status.model_copy(update={"names": rows, "pool_name": adapter.pool_key})
    return adapter.model_copy(update={"status": status})


def two_pools(*adapters: Adapter, **ages_s: float) -> Snapshot:
    pools = (make.pool(age_s=ages_s.get("default", 2)), make.pool("shapes", "team", age_s=ages_s.get("team", 1)))
    return snapshot(pools, adapters)


def test_a_name_means_the_adapter_of_the_namespace_that_had_it_first_and_full_names_mean_each() -> None:
    known = two_pools(ready("pixel", age_s=5), ready("pixel", namespace="team", age_s=1))
    assert resolved("pixel", (), known).adapters == ("default/pixel",)
    assert resolved("pixel", (), known, pool="team/shapes").adapters == ("team/pixel",)
    assert resolved("team/pixel", (), known).adapters == ("team/pixel",)
    assert find_model("pixel", known)["owned_by"] == "default"
    assert find_model("team/pixel", known)["names"] == ["team/pixel"]


def test_who_is_older_takes_no_name_that_another_namespace_has_had_before() -> None:
    older = held(ready("old", namespace="team", age_s=9, modelIds=["brand"]), 1, "old", "brand")
    known = two_pools(held(ready("new", age_s=5, modelIds=["brand"]), 5, "new", "brand"), older)
    assert resolved("brand", (), known).adapters == ("default/new",)
    assert "brand" not in other_names(next(iter(known.names["team/old"])), known)


def test_the_other_names_of_a_stack_say_which_pool_is_meant_before_age_does() -> None:
    known = two_pools(
        ready("pixel", age_s=9), ready("pixel", namespace="team"), ready("ink", namespace="team", age_s=1)
    )
    assert resolved("pixel", [NamedAdapter("ink")], known).pool == "team/shapes"


@pytest.mark.parametrize(("ages_s", "pool"), [({"default": 5}, "default/shapes"), ({"team": 5}, "team/shapes")])
def test_another_namespace_does_not_end_requests_that_name_nothing(ages_s: dict[str, Any], pool: str) -> None:
    assert resolved(None, (), two_pools(**ages_s)).pool == pool
    assert resolved("shapes", (), two_pools(**ages_s)).pool == pool


def test_two_pools_of_one_namespace_do() -> None:
    pools = (make.pool("one", age_s=9), make.pool("two"), make.pool("shapes", "team", age_s=1))
    with pytest.raises(BadRequest, match="default/one, default/two"):
        resolved(None, (), snapshot(pools))


def test_an_adapter_whose_short_name_another_namespace_has_in_the_pool_goes_by_its_full_name() -> None:
    pool = make.pool(adapters={"namespaces": {"from": "All"}})
    mine, theirs = ready("pixel", age_s=1), ready("pixel", namespace="team", age_s=9, poolRef=TEAM)
    known = snapshot((pool,), (mine, theirs))
    assert resolved("pixel", (), known).adapters == ("default/pixel",)
    assert resolved("team/pixel", (), known).adapters == ("team/pixel",)
    kept = snapshot((pool,), (mine, held(theirs, 5, "pixel")))
    assert resolved("pixel", (), kept).adapters == ("team/pixel",)
    assert resolved("default/pixel", (), kept).adapters == ("default/pixel",)
