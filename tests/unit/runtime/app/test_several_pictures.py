"""Several pictures in one request: the first gives the size, the others are looked at beside it."""

from typing import Any

import pytest
from pydantic import ValidationError
from tests.unit.runtime.app.test_pictures import bomb, encoded

from lorapool_api.kinds.serving import Serving
from lorapool_api.wire.request import MAX_IMAGES_BESIDE, MAX_PICTURE_CHARACTERS, GenerateRequest
from lorapool_runtime.app.recipe import complete
from lorapool_runtime.engine.passes import Start
from lorapool_runtime.engine.stub_image import draw
from lorapool_runtime.errors import RequestError

SERVING = Serving.model_validate(
    {"defaults": {"width": 64, "height": 64}, "limits": {"pixels": 256 * 256, "side": 504}}
)


def start_of(**said: Any) -> Start:
    start = complete(GenerateRequest.model_validate({"prompt": "a", **said}), SERVING, 1).start
    assert start is not None
    return start


def test_each_picture_beside_has_its_own_size_up_to_that_of_a_result() -> None:
    start = start_of(image=encoded((64, 32)), images_beside=[encoded((48, 80), mode="RGBA"), encoded((1024, 1024))])
    assert [(each.mode, each.size) for each in start.images] == [
        ("RGB", (64, 32)),
        ("RGB", (48, 80)),
        ("RGB", (256, 256)),
    ]


@pytest.mark.parametrize(
    ("said", "says"),
    [
        ({"images_beside": [encoded()]}, "need an image"),
        ({"image": encoded(), "mask": encoded(), "images_beside": [encoded()]}, "a mask goes with one picture"),
        ({"image": encoded(), "images_beside": ["%%%"]}, "images_beside is not base64"),
        ({"image": encoded(), "images_beside": [bomb()]}, "images_beside"),
    ],
)
def test_what_cannot_be_looked_at_is_refused(said: dict[str, Any], says: str) -> None:
    with pytest.raises(RequestError, match=says):
        start_of(**said)


@pytest.mark.parametrize("beside", [["a"] * (MAX_IMAGES_BESIDE + 1), ["a" * (MAX_PICTURE_CHARACTERS + 1)]])
def test_they_are_bounded_in_number_and_each_in_bytes(beside: list[str]) -> None:
    with pytest.raises(ValidationError, match="images_beside"):
        GenerateRequest.model_validate({"prompt": "a", "image": "a", "images_beside": beside})


def test_the_stub_draws_another_picture_for_others_beside() -> None:
    said = [GenerateRequest(prompt="a", image=encoded(), images_beside=beside) for beside in ((), (encoded(),))]
    drawn = [draw("base", complete(each, SERVING, 1), (), 1).tobytes() for each in said]
    assert drawn[0] != drawn[1]
