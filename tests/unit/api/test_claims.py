"""Who has which name."""

import random

from tests import make

from lorapool_api.kinds.adapter import Adapter
from lorapool_api.kinds.status.names import HeldName, KeptName
from lorapool_api.rules.claims import settle, settled_with


def test_every_adapter_has_its_own_name_and_its_model_ids() -> None:
    claims = settle(make.pool(), [make.adapter("pixel", modelIds=["lorapool/pixel"])])
    assert claims.owners["pixel"] == claims.owners["lorapool/pixel"] == "default/pixel"


def test_the_older_adapter_wins_a_model_id_and_the_newer_keeps_none_of_its_names() -> None:
    older = make.adapter("older", age_s=10, modelIds=["x/y"])
    newer = make.adapter("newer", age_s=5, modelIds=["x/y", "x/z"])
    claims = settle(make.pool(), [newer, older])
    assert claims.owners["x/y"] == "default/older"
    assert claims.conflicts == {"default/newer": {"x/y": "default/older"}}
    assert not {"newer", "x/z"} & claims.owners.keys()


def test_a_tie_goes_to_the_smaller_name() -> None:
    claims = settle(make.pool(), [make.adapter("b", modelIds=["x/y"]), make.adapter("a", modelIds=["x/y"])])
    assert claims.owners["x/y"] == "default/a"


def test_no_adapter_takes_a_name_of_the_pool() -> None:
    pool = make.pool("sdxl", model={"source": {"hub": {"repo": "org/base"}}, "aliases": ["xl"]})
    thieves = [make.adapter(f"a{i}", modelIds=[name]) for i, name in enumerate(("org/base", "xl", "sdxl"))]
    claims = settle(pool, thieves)
    assert set(claims.conflicts) == {"default/a0", "default/a1", "default/a2"}
    assert {claims.owners[n] for n in ("org/base", "xl", "sdxl")} == {"default/sdxl"}


def test_the_name_of_a_loser_is_free_for_the_next() -> None:
    adapters = [
        make.adapter("first", age_s=3, modelIds=["x/1"]),
        make.adapter("second", age_s=2, modelIds=["x/1", "x/2"]),
        make.adapter("third", age_s=1, modelIds=["x/2"]),
    ]
    assert settle(make.pool(), adapters).owners["x/2"] == "default/third"


ALL = {"namespaces": {"from": "All"}}
HERE = {"name": "shapes", "namespace": "default"}


def named(adapter: Adapter, *names: str, pool: str = "default/shapes") -> Adapter:
    """The adapter with these names in its status."""
    rows = tuple(HeldName(name=name, since=make.EPOCH) for name in names)
    status = adapter.status.model_copy(update={"names": rows, "pool_name": pool})
    return adapter.model_copy(update={"status": status})


def test_who_had_a_name_keeps_it_whoever_is_older() -> None:
    older = make.adapter("older", "team-a", age_s=9, poolRef=HERE, modelIds=["brand"])
    younger = named(make.adapter("younger", "team-b", poolRef=HERE, modelIds=["brand"]), "younger", "brand")
    claims = settle(make.pool(adapters=ALL), [older, younger])
    assert claims.owners["brand"] == "team-b/younger"
    assert claims.conflicts == {"team-a/older": {"brand": "team-b/younger"}}
    assert claims.names_of(younger) == ("younger", "brand")


def test_a_name_in_another_pool_is_none_here() -> None:
    mover = named(make.adapter("mover", age_s=1, modelIds=["brand"]), "brand", pool="default/other")
    stays = named(make.adapter("stays", modelIds=["brand"]), "brand")
    assert settle(make.pool(), [mover, stays]).owners["brand"] == "default/stays"


def test_the_pools_own_namespace_goes_before_others_that_are_older() -> None:
    theirs = make.adapter("a", "team", age_s=9, poolRef=HERE, modelIds=["brand"])
    assert (
        settle(make.pool(adapters=ALL), [theirs, make.adapter("b", modelIds=["brand"])]).owners["brand"] == "default/b"
    )


def test_an_edit_that_asks_for_anothers_name_frees_none_of_ones_own() -> None:
    edited = named(make.adapter("edited", age_s=9, modelIds=["mine", "theirs"]), "edited", "mine")
    other = named(make.adapter("other", modelIds=["theirs"]), "other", "theirs")
    waiting = make.adapter("waiting", age_s=5, modelIds=["mine"])
    claims = settle(make.pool(), [edited, other, waiting])
    assert claims.conflicts["default/edited"] == {"theirs": "default/other"}
    assert claims.conflicts["default/waiting"] == {"mine": "default/edited"}
    assert claims.names_of(edited) == ("edited", "mine")


def test_no_namespace_keeps_anothers_adapter_out_by_its_short_name() -> None:
    one = make.adapter("pixel", "team-a", age_s=9, poolRef=HERE)
    two = make.adapter("pixel", "team-b", poolRef=HERE, modelIds=["b/pixel"])
    claims = settle(make.pool(adapters=ALL), [one, two, make.adapter("shapes", "team-b", poolRef=HERE)])
    assert not claims.conflicts
    assert (claims.owners["pixel"], claims.names_of(two)) == ("team-a/pixel", ("b/pixel",))


def test_a_kept_name_is_for_its_namespace_alone() -> None:
    kept = (KeptName(name="brand", namespace="team-b", until=make.EPOCH),)
    waiting = make.adapter("waiting", "team-a", age_s=9, poolRef=HERE, modelIds=["brand"])
    assert settle(make.pool(adapters=ALL), [waiting], kept).conflicts == {"team-a/waiting": {"brand": "team-b/"}}
    again = make.adapter("brand", "team-b", poolRef=HERE)
    assert settle(make.pool(adapters=ALL), [waiting, again], kept).owners["brand"] == "team-b/brand"


def test_those_that_came_are_settled_as_all_would_be_together() -> None:
    rng, pool, compared = random.Random(7), make.pool(adapters=ALL), 0  # noqa: S311 -- not for secrets
    for _ in range(300):
        adapters = [
            make.adapter(
                name, rng.choice(["default", "team-a"]), age_s=rng.randrange(3), poolRef=HERE,
                modelIds=rng.sample(["x", "y", "z", "a", "b"], rng.randrange(2)),
            )
            for name in rng.sample(["a", "b", "c", "d", "e", "x"], rng.randrange(1, 5))
        ]  # fmt: skip
        kept = [KeptName(name=rng.choice("abx"), namespace="team-a", until=make.EPOCH)] * rng.randrange(2)
        there = rng.randrange(len(adapters) + 1)
        together = settled_with(settle(pool, adapters[:there], kept), adapters[there:], kept)
        if together is not None:
            assert together == settle(pool, adapters, kept)
            compared += len(adapters) > there > 0
    assert compared > 30


def test_those_whose_names_nobody_wants_need_no_other_look_at_all() -> None:
    before = settle(make.pool(), [make.adapter("one", modelIds=["x/one"])])
    assert settled_with(before, [make.adapter("two", modelIds=["x/two"])]) is not None
    assert settled_with(before, [make.adapter("two", modelIds=["x/one"])]) is None
