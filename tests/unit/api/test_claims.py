"""Who has which name."""

from tests import make

from lorapool_api.rules.claims import settle


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
