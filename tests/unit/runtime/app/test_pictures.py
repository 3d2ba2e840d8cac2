"""Pictures that clients send: pixels of a bounded size, or one sentence."""

import base64
import io
import struct
import warnings
import zlib

import pytest
from PIL import ExifTags, Image

from lorapool_api.kinds.models.controls import ControlKind, ControlSpec
from lorapool_api.kinds.serving import Serving
from lorapool_api.kinds.sources import ModelSource
from lorapool_api.wire.reply import ErrorCode
from lorapool_api.wire.request import GenerateRequest
from lorapool_runtime.app.pictures import decode, size_of
from lorapool_runtime.app.recipe import complete
from lorapool_runtime.errors import RequestError

SERVING = Serving.model_validate(
    {"defaults": {"width": 64, "height": 64}, "limits": {"pixels": 256 * 256, "side": 504}}
)

CONTROLS = (
    ControlSpec(name="edges", source=ModelSource(path="/models/edges")),
    ControlSpec(name="style", kind=ControlKind.IP_ADAPTER, file="a.safetensors", source=ModelSource(path="/models/a")),
)


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
    picture = decode("image", encoded((40, 20), format_), "RGB", (32, 16))
    assert (picture.mode, picture.size) == ("RGB", (32, 16))
    red, green, blue = picture.getpixel((5, 5))  # type: ignore[misc]
    assert red > 240 > 20 > max(green, blue)


def test_a_data_address_is_as_good() -> None:
    assert decode("image", f"data:image/png;base64,{encoded()}", "L", (32, 32)).mode == "L"


@pytest.mark.parametrize(
    ("sent", "says"),
    [
        ("%%%", "image is not base64"),
        (base64.b64encode(b"hello").decode(), "image is no picture"),
        (encoded()[:80], "image is"),
        (encoded(format_="GIF"), "image is no picture"),  # a decoder that nobody needs
        (encoded(format_="BMP"), "image is no picture"),
        (bomb(), "image"),
        (encoded((5001, 5000), mode="1", colour="black"), "image has 5001 x 5000 pixels; at most 25000000 are read"),
    ],
)
def test_anything_else_is_one_sentence(sent: str, says: str) -> None:
    with pytest.raises(RequestError, match=says) as refused:
        decode("image", sent, "RGB", (32, 32))
    assert refused.value.code is ErrorCode.INVALID_REQUEST


def test_a_picture_that_is_cut_off_is_refused_when_its_pixels_are_read() -> None:
    whole = base64.b64decode(encoded((90, 90), "JPEG", colour="blue"))
    cut = base64.b64encode(whole[: len(whole) - 200]).decode()
    with pytest.raises(RequestError, match=r"broken|no picture"):
        decode("image", cut, "RGB", (32, 32))


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
    [
        {"mask": encoded()},
        {"strength": 0.5},
        {"image": encoded((4, 4)), "mask": "?"},
        {"width": 8, "height": 512},
        {"prompt": " "},
        {"prompt": "a <lora:pixel:0.8>"},
    ],
)
def test_what_makes_no_sense_together_is_refused(changes: dict[str, object]) -> None:
    with pytest.raises(RequestError):
        recipe_of(**changes)


def photo(orientation: int, size: tuple[int, int] = (40, 16), format_: str = "JPEG") -> str:
    """A picture that is red on its left half as it lies in the file, and says how to turn it."""
    picture = Image.new("RGB", size, "blue")
    picture.paste("red", (0, 0, size[0] // 2, size[1]))
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    buffer = io.BytesIO()
    picture.save(buffer, format_, exif=exif)
    return base64.b64encode(buffer.getvalue()).decode()


def is_red(picture: Image.Image, at: tuple[int, int]) -> bool:
    red, _, blue = picture.getpixel(at)  # type: ignore[misc]
    return bool(red > 200 > 60 > blue)


@pytest.mark.parametrize("format_", ["JPEG", "PNG", "WEBP"])
def test_a_photo_that_a_phone_took_sideways_is_turned_upright(format_: str) -> None:
    sent = photo(6, format_=format_)  # turn by 90 degrees clockwise: what is left in the file is up
    assert size_of("image", sent, 10_000, 10_000) == (16, 40)
    upright = decode("image", sent, "RGB", (16, 40))
    assert is_red(upright, (8, 4))
    assert not is_red(upright, (8, 35))
    assert recipe_of(image=sent)[0] == (16, 40)


@pytest.mark.parametrize(("orientation", "red_at"), [(1, (2, 8)), (2, (37, 8)), (3, (37, 8)), (8, (8, 37))])
def test_every_way_that_a_camera_was_held_is_known(orientation: int, red_at: tuple[int, int]) -> None:
    sent = photo(orientation)
    assert is_red(decode("image", sent, "RGB", size_of("image", sent, 10_000, 10_000)), red_at)


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")
def test_what_a_picture_says_of_itself_that_cannot_be_read_is_ignored() -> None:
    buffer = io.BytesIO()
    Image.new("RGB", (16, 8), "red").save(buffer, "JPEG", exif=b"Exif\0\0MM\0*\xff\xff\xff\xff")
    sent = base64.b64encode(buffer.getvalue()).decode()
    assert size_of("image", sent, 10_000, 10_000) == (16, 8)
    assert is_red(decode("image", sent, "RGB", (16, 8)), (4, 4))


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_what_is_transparent_is_white_in_a_picture_and_black_in_a_mask(mode: str) -> None:
    buffer = io.BytesIO()
    if mode == "P":
        Image.new("P", (16, 16), 0).save(buffer, "PNG", transparency=0)
    else:
        Image.new(mode, (16, 16)).save(buffer, "PNG")  # black under full transparency
    sent = base64.b64encode(buffer.getvalue()).decode()
    assert decode("image", sent, "RGB", (16, 16)).getpixel((8, 8)) == (255, 255, 255)
    assert decode("mask", sent, "L", (16, 16)).getpixel((8, 8)) == 0


def test_a_photo_with_more_pixels_than_a_result_may_have_is_scaled_down() -> None:
    (width, height), _, _ = recipe_of(image=encoded((4032, 3024), "JPEG"))
    assert (width, height) == (288, 216)
    assert recipe_of(image=encoded((1600, 16)))[0] == (504, 8)


def test_threads_do_not_share_a_filter_of_warnings(monkeypatch: pytest.MonkeyPatch) -> None:
    def shared(*_: object, **__: object) -> None:
        raise AssertionError("filters of warnings belong to the whole process")

    sent = encoded()
    with monkeypatch.context() as patched:
        patched.setattr(warnings, "catch_warnings", shared)
        made = decode("image", sent, "RGB", (32, 32))
    assert made.size == (32, 32)


def test_a_picture_may_be_continued_without_words() -> None:
    assert recipe_of(prompt="", image=encoded())[0] == (32, 32)


@pytest.mark.parametrize(("steps", "strength"), [(4, 0.2), (25, 0.03), (1, 0.5)])
def test_a_strength_that_leaves_no_step_is_the_requests_fault(steps: int, strength: float) -> None:
    with pytest.raises(RequestError, match="leaves none to do") as refused:
        recipe_of(image=encoded(), steps=steps, strength=strength)
    assert refused.value.code is ErrorCode.INVALID_REQUEST
    assert recipe_of(image=encoded(), steps=steps, strength=1 / steps)[1] == 1 / steps


def test_pictures_that_control_have_the_size_of_the_result() -> None:
    edges = {"name": "edges", "image": encoded((90, 30)), "scale": 0.5, "end": 0.8}
    wanted = GenerateRequest.model_validate({"prompt": "a", "width": 64, "height": 32, "controls": [edges]})
    recipe = complete(wanted, SERVING, 1, controls=CONTROLS)
    (made,) = recipe.controls
    assert (made.name, made.image.mode, made.image.size) == ("edges", "RGB", (64, 32))
    assert (made.scale, made.start, made.end) == (0.5, 0.0, 0.8)
    assert recipe.shape is None, "it shares no forward with others"


@pytest.mark.parametrize(("sent", "read"), [((90, 30), (90, 30)), ((600, 300), (362, 181)), ((2000, 20), (504, 5))])
def test_a_picture_to_look_at_keeps_its_shape_and_is_no_larger_than_a_result(
    sent: tuple[int, int], read: tuple[int, int]
) -> None:
    style = {"name": "style", "image": encoded(sent), "scale": 0.5}
    wanted = GenerateRequest.model_validate({"prompt": "a", "controls": [style]})
    (made,) = complete(wanted, SERVING, 1, controls=CONTROLS).controls
    assert (made.image.mode, made.image.size) == ("RGB", read)


@pytest.mark.parametrize(
    ("control", "changes", "why"),
    [
        ({"name": "pose"}, {}, "no control 'pose': it has edges, style"),
        ({"start": 0.5, "end": 0.5}, {}, "ends at 0.5"),
        ({"image": "?"}, {}, "controls.image is not base64"),
        ({"name": "style", "image": "?"}, {}, "controls.image is not base64"),
        ({"name": "style", "end": 0.5}, {}, "style is of the kind IPAdapter, which counts in all steps"),
        ({}, {"hires": {"scale": 2}}, "hires together with controls"),
    ],
)
def test_a_control_that_makes_no_sense_is_refused(
    control: dict[str, object], changes: dict[str, object], why: str
) -> None:
    controls = [{"name": "edges", "image": encoded(), **control}]
    wanted = GenerateRequest.model_validate({"prompt": "a", "controls": controls, **changes})
    with pytest.raises(RequestError, match=why):
        complete(wanted, SERVING, 1, controls=CONTROLS)


def holed(mode: str = "RGBA") -> str:
    """A white picture whose left half is transparent."""
    picture = Image.new("RGBA", (32, 32), (255, 255, 255, 255))
    picture.paste((255, 255, 255, 0), (0, 0, 16, 32))
    buffer = io.BytesIO()
    picture.convert(mode).save(buffer, "PNG")
    return base64.b64encode(buffer.getvalue()).decode()


def test_the_holes_of_a_mask_are_what_is_painted_anew() -> None:
    mask = decode("mask", holed(), "L", (32, 32), holes=True)
    assert (mask.getpixel((4, 4)), mask.getpixel((28, 4))) == (255, 0)


def test_a_mask_without_holes_is_read_by_its_brightness() -> None:
    mask = decode("mask", encoded(colour="white"), "L", (32, 32), holes=True)
    assert mask.getpixel((4, 4)) == 255
    assert decode("mask", holed("RGB"), "L", (32, 32), holes=True).getpixel((28, 4)) == 255


def test_a_request_says_how_its_mask_is_read() -> None:
    said = {"prompt": "a", "image": encoded(), "mask": holed(), "width": 32, "height": 32}
    start = complete(GenerateRequest.model_validate(said | {"mask_reading": "Transparency"}), SERVING, 1).start
    bright = complete(GenerateRequest.model_validate(said), SERVING, 1).start
    assert start is not None
    assert start.mask is not None
    assert bright is not None
    assert bright.mask is not None
    assert (start.mask.getpixel((4, 4)), bright.mask.getpixel((4, 4))) == (255, 0)


def test_masks_of_adapters_have_the_size_of_the_result_and_what_is_transparent_is_black() -> None:
    clear = encoded((8, 8), mode="RGBA", colour="#ffffff00")
    uses = [
        {"key": "a", "mask": encoded((90, 30), mode="L", colour="white")},
        {"key": "b"},
        {"key": "c", "mask": clear},
    ]
    recipe = complete(GenerateRequest.model_validate({"prompt": "a", "adapters": uses}), SERVING, 1)
    white, none, black = recipe.masks
    assert white is not None
    assert (white.mode, white.size, white.getextrema()) == ("L", (64, 64), (255, 255))
    assert none is None
    assert black is not None
    assert black.getextrema() == (0, 0)
    assert recipe.shape is None, "it shares no forward with others"
    assert complete(GenerateRequest.model_validate({"prompt": "a", "adapters": uses[1:2]}), SERVING, 1).masks == ()


@pytest.mark.parametrize(
    ("mask", "changes", "why"),
    [
        (bomb(), {}, "adapters.mask is no picture"),
        ("?", {}, "adapters.mask is not base64"),
        (encoded((5001, 5000), mode="1", colour="black"), {}, "adapters.mask has 5001 x 5000 pixels"),
        (encoded(), {"hires": {"scale": 2}}, "hires together with controls, or with masks"),
    ],
)
def test_a_mask_that_is_none_is_refused(mask: str, changes: dict[str, object], why: str) -> None:
    wanted = {"prompt": "a", "adapters": [{"key": "a", "mask": mask}], **changes}
    with pytest.raises(RequestError, match=why):
        complete(GenerateRequest.model_validate(wanted), SERVING, 1)
