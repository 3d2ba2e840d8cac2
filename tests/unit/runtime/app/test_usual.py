"""What a request gets that does not say is what suits the base, within what the pool allows."""

import pytest

from lorapool_api.kinds.serving import Serving
from lorapool_api.rules.usual import UsualRequest, completed
from lorapool_api.wire.request import GenerateRequest
from lorapool_runtime.app.recipe import complete

SCHNELL = UsualRequest(steps=4, guidance_scale=0.0, side=1024, side_multiple=16)


def size(**serving: object) -> tuple[int, int]:
    defaults = completed(Serving.model_validate(serving), SCHNELL).defaults
    return defaults.width, defaults.height


def test_what_neither_request_nor_pool_says_suits_the_base() -> None:
    recipe = complete(GenerateRequest(prompt="a"), Serving(), 1, usual=SCHNELL)
    assert (recipe.steps, recipe.guidance_scale, recipe.width, recipe.height) == (4, 0.0, 1024, 1024)


def test_what_the_pool_says_goes_before_the_base() -> None:
    serving = Serving.model_validate({"defaults": {"steps": 8, "guidance_scale": 1.5, "width": 512, "height": 768}})
    recipe = complete(GenerateRequest(prompt="a"), serving, 1, usual=SCHNELL)
    assert (recipe.steps, recipe.guidance_scale, recipe.width, recipe.height) == (8, 1.5, 512, 768)


@pytest.mark.parametrize(
    ("serving", "wanted"),
    [
        ({"limits": {"pixels": 500_000}}, (704, 704)),
        ({"limits": {"side": 600}}, (592, 592)),
        ({"defaults": {"width": 2048}, "limits": {"pixels": 1_048_576}}, (2048, 512)),
        ({"defaults": {"height": 512}}, (1024, 512)),
    ],
)
def test_the_size_of_a_base_stays_within_the_limits(serving: dict[str, object], wanted: tuple[int, int]) -> None:
    assert size(**serving) == wanted


def test_steps_of_a_base_stay_within_the_limits() -> None:
    serving = Serving.model_validate({"limits": {"steps": 30}})
    assert completed(serving, UsualRequest(steps=50)).defaults.steps == 30


def test_what_the_pool_leaves_open_is_not_written_for_an_older_pod() -> None:
    assert Serving().model_dump(mode="json")["defaults"].keys() == {"scheduler", "timestep_spacing"}
