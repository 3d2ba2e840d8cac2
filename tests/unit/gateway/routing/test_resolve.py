"""From names to a pool and a stack."""

import time
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any, cast

import pytest
from tests import make
from tests.unit.gateway.fakes import SHA, ready, snapshot, with_ready

from lorapool_api.kinds.conditions import Reason
from lorapool_api.wire.request import AdapterUse, GenerateRequest
from lorapool_gateway.cluster.snapshot import Snapshot
from lorapool_gateway.errors import AdapterUnavailable, AmbiguousModel, BadRequest, UnknownModel
from lorapool_gateway.routing.allowed import near_misses
from lorapool_gateway.routing.request import ImageRequest, NamedAdapter, ResolvedRequest
from lorapool_gateway.routing.resolve import resolve, with_files

POOL = "default/shapes"


def request(pool: str, adapters: tuple[AdapterUse, ...] = ()) -> ResolvedRequest:
    return ResolvedRequest(pool, GenerateRequest(prompt="a cat", adapters=adapters))


def resolved(
    model: str | None, loras: Sequence[NamedAdapter], known: Snapshot, pool: str | None = None
) -> ResolvedRequest:
    asked = ImageRequest(GenerateRequest(prompt="a cat"), model, tuple(loras))
    return resolve(asked, known, pool)


@pytest.mark.parametrize("name", ["pixel", "default/pixel", "nerijs/pixel-art-xl"])
def test_an_adapter_goes_by_its_name_its_full_name_and_its_model_ids(name: str) -> None:
    known = snapshot(adapters=(ready(modelIds=["nerijs/pixel-art-xl"]),))
    assert resolved(name, (), known) == request(POOL, (AdapterUse(key="default/pixel"),))


@pytest.mark.parametrize("name", ["shapes", "default/shapes", "sdxl", None])
def test_the_bare_base_goes_by_the_pools_names_or_by_none_where_there_is_one_pool(name: str | None) -> None:
    model = {"source": {"path": "/m"}, "aliases": ["sdxl"]}
    assert resolved(name, (), snapshot(pools=(make.pool(model=model),))) == request(POOL)


def test_a_request_that_names_nothing_is_refused_where_there_are_two_pools() -> None:
    known = snapshot(pools=(make.pool("one"), make.pool("two")))
    with pytest.raises(BadRequest, match="default/one, default/two"):
        resolved(None, (), known)
    assert resolved(None, (), known, pool="two") == request("default/two")


def test_an_unknown_name_gets_near_misses() -> None:
    known = snapshot(adapters=(ready("pixel-art"), ready("watercolor")))
    with pytest.raises(UnknownModel) as refused:
        resolved("pixle-art", (), known)
    assert "pixel-art" in refused.value.near
    assert "watercolor" not in refused.value.near


def test_a_name_in_two_pools_of_a_namespace_is_ambiguous_until_the_pool_is_named() -> None:
    adapters = (ready("a", pool="one", modelIds=["x/y"]), ready("b", pool="two", modelIds=["x/y"]))
    known = snapshot((make.pool("one"), make.pool("two")), adapters)
    with pytest.raises(AmbiguousModel) as refused:
        resolved("x/y", (), known)
    assert refused.value.choices == ("default/a", "default/b")
    assert resolved("x/y", (), known, pool="two").adapters == ("default/b",)
    assert resolved("default/b", (), known).pool == "default/two"


def test_the_other_names_of_a_stack_can_settle_an_ambiguous_one() -> None:
    other = make.pool("shapes", "team")
    adapters = (ready("pixel"), ready("pixel", namespace="team"), ready("ink", namespace="team"))
    stack = resolved(None, [NamedAdapter("pixel", 0.8), NamedAdapter("ink")], snapshot((make.pool(), other), adapters))
    assert stack == request("team/shapes", (AdapterUse(key="team/pixel", scale=0.8), AdapterUse(key="team/ink")))


def test_a_stack_over_two_pools_is_refused_and_says_where_each_is() -> None:
    known = snapshot((make.pool("one"), make.pool("two")), (ready("a", pool="one"), ready("b", pool="two")))
    with pytest.raises(BadRequest, match="a is in default/one; b is in default/two"):
        resolved("a", [NamedAdapter("b")], known)


def test_loras_add_to_the_adapter_that_the_model_names_and_can_set_its_scale() -> None:
    known = snapshot(adapters=(ready("a"), ready("b")))
    stack = resolved("a", [NamedAdapter("b", 0.5), NamedAdapter("default/a", 0.2)], known)
    assert stack.generate.adapters == (AdapterUse(key="default/a", scale=0.2), AdapterUse(key="default/b", scale=0.5))


def test_an_adapter_cannot_be_named_twice_nor_a_base_be_stacked() -> None:
    known = snapshot(adapters=(ready("a"),))
    with pytest.raises(BadRequest, match="twice"):
        resolved(None, [NamedAdapter("a"), NamedAdapter("default/a")], known)
    with pytest.raises(BadRequest, match="base model"):
        resolved("a", [NamedAdapter("shapes")], known)


def test_more_adapters_than_a_pod_takes_are_refused() -> None:
    adapters = tuple(ready(f"a{i}") for i in range(9))
    with pytest.raises(BadRequest, match="at most 8"):
        resolved(None, [NamedAdapter(f"a{i}") for i in range(9)], snapshot(adapters=adapters))


def test_the_older_of_two_with_one_model_id_gets_the_request() -> None:
    newer = ready("newer", age_s=1, modelIds=["x/y"])
    older = ready("older", age_s=9, modelIds=["x/y"])
    assert resolved("x/y", (), snapshot(adapters=(newer, older))).adapters == ("default/older",)


def test_an_adapter_of_another_namespace_takes_no_name_in_a_pool_that_does_not_let_it_in() -> None:
    stranger = make.adapter("pixel", "team", age_s=9, poolRef={"name": "shapes", "namespace": "default"})
    known = snapshot(adapters=(with_ready(stranger), ready("pixel")))
    assert resolved("pixel", (), known).adapters == ("default/pixel",)


def test_a_pod_is_told_which_file_must_be_used() -> None:
    known = snapshot(adapters=(ready(),))
    asked = request(POOL, (AdapterUse(key="default/pixel", scale=0.5),)).generate
    (use,) = with_files(asked, known).adapters
    assert (use.key, use.scale, use.sha256) == ("default/pixel", 0.5, SHA)


def test_an_adapter_of_no_pool_is_found_and_says_so() -> None:
    known = snapshot(adapters=(make.adapter("lost", pool="nowhere"),))
    with pytest.raises(AdapterUnavailable) as refused:
        with_files(resolved("lost", (), known).generate, known)
    assert refused.value.reason is Reason.POOL_NOT_FOUND


def test_a_suspended_adapter_is_refused_for_good() -> None:
    known = snapshot(adapters=(ready(suspend=True),))
    with pytest.raises(AdapterUnavailable) as refused:
        with_files(resolved("pixel", (), known).generate, known)
    assert (refused.value.reason, refused.value.transient) == (Reason.SUSPENDED, False)


@pytest.mark.parametrize(("reason", "transient"), [("Downloading", True), ("BaseModelMismatch", False)])
def test_an_adapter_that_is_not_ready_says_what_its_condition_says(reason: str, transient: bool) -> None:
    condition = {"status": "False", "reason": reason, "message": "needs 2048, has 768"}
    known = snapshot(adapters=(with_ready(make.adapter(), condition),))
    with pytest.raises(AdapterUnavailable, match="needs 2048, has 768") as refused:
        with_files(resolved("pixel", (), known).generate, known)
    assert (refused.value.reason, refused.value.transient) == (Reason(reason), transient)


def test_what_was_said_of_an_older_generation_counts_as_not_looked_at() -> None:
    edited = with_ready(make.adapter(metadata={"generation": 2}))
    known = snapshot(adapters=(edited,))
    with pytest.raises(AdapterUnavailable) as refused:
        with_files(resolved("pixel", (), known).generate, known)
    assert refused.value.transient


def test_a_name_that_nobody_has_costs_the_same_however_many_there_are() -> None:
    def cost_s(names: int) -> float:
        known = cast("Snapshot", SimpleNamespace(names={f"team/style-{i:06d}": () for i in range(names)}))
        near, spent_s = timed(lambda: near_misses("team/stile-000042", known))
        assert near[0] == "team/style-000042"
        return spent_s

    assert cost_s(400_000) < 5 * cost_s(20_000)


def timed(work: Callable[[], Any]) -> tuple[Any, float]:
    """What it returns, and the least seconds of CPU time that it took in a few tries."""
    spent = []
    for _ in range(9):
        start = time.thread_time()
        made = work()
        spent.append(time.thread_time() - start)
    return made, min(spent)


def test_a_name_without_its_owner_is_found() -> None:
    pool = make.pool()
    adapter = with_ready(make.adapter("pixel", modelIds=["somebody-with-a-long-name/art"]))
    assert "somebody-with-a-long-name/art" in near_misses("art", Snapshot({pool.key: pool}, {adapter.key: adapter}))
