"""The way from one object to another, RFC 7396."""

from typing import Any

import pytest

from lorapool_common.kube.merge_patch import merge_patch


@pytest.mark.parametrize(
    ("old", "new", "patch"),
    [
        ({"a": 1}, {"a": 1}, {}),
        ({"a": 1}, {"a": 2, "b": 3}, {"a": 2, "b": 3}),
        ({"a": 1, "b": 2}, {"a": 1}, {"b": None}),
        ({"m": {"x": 1, "y": 2}}, {"m": {"x": 1}}, {"m": {"y": None}}),
        ({"l": [1, 2]}, {"l": [2]}, {"l": [2]}),
        ({"m": 1}, {"m": {"x": 1}}, {"m": {"x": 1}}),
    ],
)
def test_a_merge_patch_says_what_changed_and_what_went(old: Any, new: Any, patch: Any) -> None:
    assert merge_patch(old, new) == patch
