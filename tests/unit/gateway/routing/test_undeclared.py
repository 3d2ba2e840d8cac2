"""Names of repositories that no LoraAdapter declares."""

from typing import Any

import pytest
from tests import make
from tests.unit.gateway.fakes import ready, snapshot
from tests.unit.gateway.serve.asked import REQUEST

from lorapool_api.kinds.adapter import Adapter
from lorapool_api.kinds.pool import Pool
from lorapool_gateway.cluster.snapshot import Snapshot
from lorapool_gateway.errors import BadRequest, UnknownModel
from lorapool_gateway.routing.request import ImageRequest, NamedAdapter, ResolvedRequest
from lorapool_gateway.routing.resolve import resolve, with_files

REPO = "nerijs/pixel-art-xl"


def willing(name: str = "shapes", **spec: Any) -> Pool:
    return make.pool(name, adapters={"undeclared": "Hub"}, **spec)


def asked(known: Snapshot, model: str | None = REPO, *loras: str, pool: str | None = None) -> ResolvedRequest:
    named = tuple(NamedAdapter(name, 0.5) for name in loras)
    return resolve(ImageRequest(REQUEST, model=model, loras=named), known, pool)


def test_a_repository_goes_to_the_pool_that_serves_such() -> None:
    found = asked(snapshot((willing(), make.pool("other"))))
    assert (found.pool, found.adapters, found.undeclared) == ("default/shapes", (f"hub:{REPO}",), (REPO,))
    assert found.other_pools == ()
    known = snapshot((willing(),))
    assert with_files(found.generate, known) == found.generate


@pytest.mark.parametrize("name", [REPO, "no-repository", "hub:a/b", "a/b/c"])
def test_a_pool_that_denies_them_knows_no_such_name(name: str) -> None:
    with pytest.raises(UnknownModel):
        asked(snapshot((make.pool(),)), name)


@pytest.mark.parametrize("name", ["no-repository", "hub:a/b", "a/b/c", "../x"])
def test_what_no_repository_can_be_called_is_looked_up_nowhere(name: str) -> None:
    with pytest.raises(UnknownModel):
        asked(snapshot((willing(),)), name)


def test_what_is_declared_is_served_as_declared() -> None:
    known = snapshot((willing(),), (ready(modelIds=[REPO]),))
    assert asked(known).adapters == ("default/pixel",)


def test_a_stack_may_hold_both() -> None:
    known = snapshot((willing(), willing("other")), (ready("ink"),))
    found = asked(known, "ink", REPO)
    assert (found.pool, found.adapters) == ("default/shapes", ("default/ink", f"hub:{REPO}"))
    with pytest.raises(BadRequest):
        asked(snapshot((willing("other"), make.pool()), (ready("ink"),)), "ink", REPO)


def test_several_pools_are_asked_in_turn_unless_one_is_named() -> None:
    known = snapshot((willing("b"), willing("a")))
    assert (asked(known).pool, asked(known).other_pools) == ("default/a", ("default/b",))
    assert (asked(known, pool="b").pool, asked(known, pool="b").other_pools) == ("default/b", ())


def test_they_are_no_models_that_anybody_is_told_of() -> None:
    adapter: Adapter = ready("ink")
    known = snapshot((willing(),), (adapter,))
    asked(known)
    assert not [name for name in known.names if "hub:" in name]
