"""Pictures that clients send: pixels of a bounded size, or one sentence."""

import base64
import io
import struct
import zlib

import pytest
from PIL import Image

from lorapool_api.serving import Serving
from lorapool_api.wire.reply import ErrorCode
from lorapool_api.wire.request import GenerateRequest
from lorapool_runtime.errors import RequestError
from lorapool_runtime.http.pictures import decode
from lorapool_runtime.http.recipe import complete

SERVING = Serving.model_validate({"defaults": {"width": 64, "height": 64}, "limits": {"pixels": 256 * 256}})


def encoded(size: tuple[int, int] = (32, 32), format_: str = "PNG", mode: str = "RGB", colour: str = "red") -> str:
    buffer = io.BytesIO()
    Image.new(mode, size, colour).save(buffer, format_)
    return base64.b64encode(buffer.getvalue()).decode()


def bomb() -> str:
    """A few bytes that say they are a PNG of 60,000 x 60,000 pixels."""
    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    chunk = b"IHDR" + header
    png = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", len(header)) + chunk + struct.pack(">I", zlib.crc32(chunk))
    return base64.b64encode(png).decode()


@pytest.mark.parametrize("format_", ["PNG", "JPEG", "WEBP"])
def test_usual_formats_become_pixels_of_the_wanted_size(format_: str) -> None:
    picture = decode("image", encoded((40, 20), format_), 10_000, "RGB", (32, 16))
    assert (picture.mode, picture.size) == ("RGB", (32, 16))
    red, green, blue = picture.getpixel((5, 5))  # type: ignore[misc]
    assert red > 240 > 20 > max(green, blue)


def test_a_data_address_is_as_good() -> None:
    assert decode("image", f"data:image/png;base64,{encoded()}", 10_000, "L", (32, 32)).mode == "L"


@pytest.mark.parametrize(
    ("sent", "says"),
    [
        ("%%%", "image is not base64"),
        (base64.b64encode(b"hello").decode(), "image is no picture"),
        (encoded()[:80], "image is"),
        (encoded(format_="GIF"), "image is no picture"),  # a decoder that nobody needs
        (encoded(format_="BMP"), "image is no picture"),
        (encoded((200, 200)), "image has 200 x 200 pixels; at most 10000"),
        (bomb(), "image"),
    ],
)
def test_anything_else_is_one_sentence(sent: str, says: str) -> None:
    with pytest.raises(RequestError, match=says) as refused:
        decode("image", sent, 10_000, "RGB", (32, 32))
    assert refused.value.code is ErrorCode.INVALID_REQUEST


def test_a_picture_that_is_cut_off_is_refused_when_its_pixels_are_read() -> None:
    whole = base64.b64decode(encoded((90, 90), "JPEG", colour="blue"))
    cut = base64.b64encode(whole[: len(whole) - 200]).decode()
    with pytest.raises(RequestError, match=r"broken|no picture"):
        decode("image", cut, 10_000, "RGB", (32, 32))


def recipe_of(**changes: object) -> tuple[tuple[int, int], float | None, bool]:
    recipe = complete(GenerateRequest.model_validate({"prompt": "a", **changes}), SERVING, 1)
    start = recipe.start
    strength = start.strength if start else None
    return (recipe.width, recipe.height), strength, start is not None and start.mask is not None


def test_the_picture_says_the_size_unless_the_request_does() -> None:
    assert recipe_of(image=encoded((45, 33))) == ((40, 32), 0.8, False)
    assert recipe_of(image=encoded((45, 33)), width=16, height=24, strength=0.5) == ((16, 24), 0.5, False)
    assert recipe_of(image=encoded(), mask=encoded((8, 8))) == ((32, 32), 1.0, True)
    assert recipe_of() == ((64, 64), None, False)


@pytest.mark.parametrize(
    "changes",
    [{"mask": encoded()}, {"strength": 0.5}, {"image": encoded((300, 300))}, {"image": encoded((4, 4)), "mask": "?"}],
)
def test_what_makes_no_sense_together_is_refused(changes: dict[str, object]) -> None:
    with pytest.raises(RequestError):
        recipe_of(**changes)
