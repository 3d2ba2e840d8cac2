"""What every engine has in common."""

import pytest

from lorapool_api.kinds.serving import SchedulerName
from lorapool_runtime.engine.contract import Recipe, RenderRequest

RECIPE = Recipe("a circle", "", 64, 64, 4, 1.0, SchedulerName.EULER, seed=0, images=1)


@pytest.mark.parametrize(("of", "previews"), [(1, 3), (2, 1), (4, 2), (4, 3), (10, 3), (20, 0), (30, 10)])
def test_as_many_previews_are_shown_as_were_asked_for_and_never_the_last_step(of: int, previews: int) -> None:
    shown = [number for number in range(1, of + 1) if RenderRequest(RECIPE, previews=previews).shows(number, of)]
    assert len(shown) == min(previews, of - 1)
    assert of not in shown


def test_previews_are_spread_evenly() -> None:
    assert [n for n in range(1, 9) if RenderRequest(RECIPE, previews=3).shows(n, 8)] == [2, 4, 6]
