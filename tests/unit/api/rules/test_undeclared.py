"""Keys of repositories that no LoraAdapter declares."""

import pytest

from lorapool_api.kinds.base_model import BaseModelSpec
from lorapool_api.rules.bases import base_ids, is_base
from lorapool_api.rules.undeclared import is_repo_id, undeclared_key, undeclared_repo


def test_a_key_says_which_repository_it_is() -> None:
    assert undeclared_repo(undeclared_key("nerijs/pixel-art-xl")) == "nerijs/pixel-art-xl"


@pytest.mark.parametrize("key", ["default/pixel", "nerijs/pixel-art-xl", "hub:", "hub:one", "hub:a/b/c", "hub:a/../b"])
def test_keys_of_objects_and_of_nothing_are_none(key: str) -> None:
    assert undeclared_repo(key) is None


@pytest.mark.parametrize("name", ["a/..", "a/.b", "../a", "a/b?x", "a b/c", "a", "a/b/c", f"a/{'b' * 97}", "a/b\n"])
def test_names_that_the_hub_has_not_are_none(name: str) -> None:
    assert not is_repo_id(name)


def test_a_base_is_known_by_its_repository_and_by_aliases_that_are_ids() -> None:
    hub = BaseModelSpec.model_validate({"source": {"hub": {"repo": "big/base"}}, "aliases": ["word", "old/base"]})
    assert base_ids(hub) == ("big/base", "old/base")
    assert is_base(hub, ("x/y", "old/base"))
    assert not is_base(hub, ("word",))
    assert base_ids(BaseModelSpec.model_validate({"source": {"path": "/models/x"}})) == ()
