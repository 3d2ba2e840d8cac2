"""Adapters that name no pool: it is found by the base model of their card."""

from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest
from tests import make
from tests.unit.operator import make as made
from tests.unit.operator.context import LoopClock
from tests.unit.operator.fake_pods import FakePod
from tests.unit.operator.reconcile.operating import Operating
from tests.virtual_time import elapse

from lorapool_api.kinds.adapter import Adapter
from lorapool_api.kinds.conditions import Reason
from lorapool_operator.reconcile.worker import Workers
from lorapool_operator.seen.resolution import Resolution, Resolving, Unresolved
from lorapool_operator.seen.verdict import Verdict

pytestmark = pytest.mark.virtual_time

BASE = "big/base"
ON_THE_HUB = {"source": {"hub": {"repo": BASE}}}


def free(name: str = "pixel", namespace: str = "default", **metadata: Any) -> Adapter:
    """An adapter that names no pool."""
    spec: dict[str, Any] = {"source": {"hub": {"repo": "a/b"}}, "poolRef": None}
    return make.adapter(name, namespace, metadata={"resourceVersion": "1"} | metadata, **spec)


class Searching(Operating):
    """Adapters whose cards a test writes."""

    def card(self, *base_models: str, key: str = "default/pixel") -> None:
        self.found.outcomes[key] = Resolution(revision="c", file="f.safetensors", base_models=base_models)

    def says_of_pool(self, name: str = "pixel") -> tuple[str | None, str]:
        return self.status(name).pool_name, self.condition(name, "Accepted").message


@pytest.fixture
async def it() -> AsyncIterator[Searching]:
    bench = Searching(clock=LoopClock())
    workers = Workers(bench.context)
    bench.listeners.append(workers.wake)
    yield bench
    await workers.stop()


@pytest.mark.parametrize("named", [(BASE,), ("other/base", BASE)])
@pytest.mark.parametrize("model", [ON_THE_HUB, {"source": {"path": "/models/x"}, "aliases": ["word", BASE]}])
async def test_the_pool_of_the_cards_base_is_found(it: Searching, named: Sequence[str], model: dict[str, Any]) -> None:
    it.put(made.pool(model=model), made.pool("other"))
    await elapse(1.0)
    it.start_pod(FakePod())
    await elapse(1.0)
    it.card(*named)
    it.put(free())
    await it.says("Served", "pixel")
    assert it.status("pixel").pool_name == "default/shapes"
    resolved = it.status("pixel").resolved
    assert resolved is not None
    assert resolved.base_models == tuple(named)


async def test_a_pool_that_comes_later_is_found_then(it: Searching) -> None:
    it.card(BASE)
    it.put(free())
    await it.says("PoolNotFound", "pixel")
    assert it.says_of_pool() == (
        None,
        f"no BaseModelPool holds {BASE}, which the card names; create one, or say in spec.poolRef which pool it is",
    )
    it.put(made.pool(model=ON_THE_HUB))
    await it.says("WaitingForPods", "pixel")
    assert it.status("pixel").pool_name == "default/shapes"


async def test_a_card_without_a_base_model_is_said_to_have_none(it: Searching) -> None:
    it.put(made.pool(model=ON_THE_HUB))
    it.card()
    it.put(free())
    await it.says("PoolNotFound", "pixel")
    assert "the card of a/b names no base_model" in it.says_of_pool()[1]


async def test_of_two_pools_that_hold_the_base_none_is_guessed(it: Searching) -> None:
    it.put(made.pool("one", model=ON_THE_HUB), made.pool("two", model=ON_THE_HUB))
    it.card(BASE)
    it.put(free())
    await it.says("PoolAmbiguous", "pixel")
    assert "default/one, default/two; say which in spec.poolRef" in it.says_of_pool()[1]
    it.gone("two")
    await it.says("WaitingForPods", "pixel")
    assert it.status("pixel").pool_name == "default/one"
    it.put(made.pool("two", model=ON_THE_HUB, metadata={"uid": "again"}))
    await elapse(120.0)
    assert it.status("pixel").pool_name == "default/one", "it stays where it is"


async def test_the_pool_of_its_own_namespace_comes_before_those_of_others(it: Searching) -> None:
    everyone = {"namespaces": {"from": "All"}}
    foreign = make.pool("shared", "platform", model=ON_THE_HUB, adapters=everyone)
    it.put(foreign, made.pool("own", model=ON_THE_HUB))
    it.card(BASE)
    it.put(free())
    await it.says("WaitingForPods", "pixel")
    assert it.status("pixel").pool_name == "default/own"

    it.card(BASE, key="team/ink")
    it.put(free("ink", "team"))
    await elapse(2.0)
    ink = it.cache.adapters.get("team/ink")
    assert ink is not None
    assert ink.status.pool_name == "platform/shared"


async def test_pools_that_take_nobody_of_its_namespace_are_named(it: Searching) -> None:
    it.put(make.pool("shared", "platform", model=ON_THE_HUB))
    it.card(BASE)
    it.put(free())
    await it.says("NamespaceNotAllowed", "pixel")
    assert "platform/shared" in it.says_of_pool()[1]


async def test_when_its_pool_goes_another_one_is_found(it: Searching) -> None:
    it.put(made.pool("one", model=ON_THE_HUB))
    it.card(BASE)
    it.put(free())
    await it.says("WaitingForPods", "pixel")
    it.put(made.pool("two", model=ON_THE_HUB))
    it.gone("one")
    await elapse(2.0)
    assert (it.status("pixel").pool_name, it.status("pixel").summary) == ("default/two", "WaitingForPods")
    it.gone("two")
    await it.says("PoolNotFound", "pixel")
    await elapse(2.0)
    writes = it.status_writes("pixel")
    await elapse(300.0)
    assert it.status_writes("pixel") == writes


async def test_a_source_that_cannot_be_had_says_so(it: Searching) -> None:
    it.found.outcomes["default/pixel"] = Resolving()
    it.put(free())
    await it.says("Resolving", "pixel")
    it.found.outcomes["default/pixel"] = Unresolved(Verdict(Reason.SOURCE_NOT_FOUND, "a/b is no repository"))
    it.cache.wake_pools_of("default/pixel")
    await it.says("SourceNotFound", "pixel")
    assert it.says_of_pool() == (None, "a/b is no repository")


async def test_one_that_was_in_a_pool_moves_when_it_names_another(it: Searching) -> None:
    it.put(made.pool(model=ON_THE_HUB), made.pool("other"))
    await elapse(1.0)
    it.start_pod(FakePod())
    await elapse(1.0)
    it.card(BASE)
    it.put(free())
    await it.says("Served", "pixel")
    it.edit("pixel", "other")
    await it.says("Moving", "pixel")
    assert it.status("pixel").pool_name == "default/shapes"
    it.edit("pixel", None)
    await it.says("Served", "pixel")
    assert it.status("pixel").pool_name == "default/shapes"


async def test_one_without_a_pool_is_deleted_at_once(it: Searching) -> None:
    it.put(free(finalizers=["lorapool.dev/unregister"]))
    await it.says("PoolNotFound", "pixel")
    it.delete("pixel")
    await elapse(1.0)
    assert it.is_let_go("pixel")
