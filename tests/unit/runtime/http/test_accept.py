"""What a client's Accept header gets."""

import pytest

from lorapool_api.wire.request import ImageFormat
from lorapool_runtime.http.accept import image_wanted


@pytest.mark.parametrize(
    ("accept", "wanted"),
    [
        ("", None),
        ("*/*", None),
        ("application/json", None),
        ("image/png", ImageFormat.PNG),
        ("IMAGE/JPEG", ImageFormat.JPEG),
        ("image/jpg", ImageFormat.JPEG),
        ("image/*", ImageFormat.TIFF),
        ("image/avif, image/webp", ImageFormat.WEBP),
        ("image/png;q=0.5, application/json", None),
        ("image/png, application/json;q=0.5", ImageFormat.PNG),
        ("image/png;q=0, image/webp", ImageFormat.WEBP),
        ("text/html, */*;q=0.1", None),
        ("image/png;q=x", None),
    ],
)
def test_the_best_type_that_can_be_made_wins(accept: str, wanted: ImageFormat | None) -> None:
    assert image_wanted(accept, default=ImageFormat.TIFF) is wanted
