"""The `Accept` header."""

import pytest

from lorapool_common.http.accept import media_ranges


@pytest.mark.parametrize(
    ("accept", "ranges"),
    [
        ("", []),
        ("image/PNG , */* ; q=0.5", [("image/png", 1.0), ("*/*", 0.5)]),
        ("a/b;level=1; Q = 0.25,", [("a/b", 0.25)]),
        ("a/b;q=9,a/c;q=-1", [("a/b", 1.0), ("a/c", 0.0)]),
        ("a/b;q=x,a/c;q=nan", [("a/b", 0.0), ("a/c", 0.0)]),
    ],
)
def test_media_ranges_have_weights(accept: str, ranges: list[tuple[str, float]]) -> None:
    assert media_ranges(accept) == ranges
