"""Texts in the files of pictures, read by Pillow and by a reader of recipes that people use."""

from io import BytesIO

import pytest
from PIL import Image
from PIL.ExifTags import IFD, Base
from sd_parsers import ParserManager

from lorapool_api.rules.recipes.infotext import PictureRecipe, RecipeAdapter, infotext
from lorapool_api.wire.request import MAX_PROMPT_CHARACTERS, ImageFormat
from lorapool_runtime.app.encoded.encode import can_hold, encode

PICTURE = Image.new("RGB", (8, 8), (1, 2, 3))
WITH_TEXT = (ImageFormat.PNG, ImageFormat.JPEG, ImageFormat.WEBP)
TEXT = infotext(
    PictureRecipe(
        prompt="ein Käse 🧀, (alt)",
        negative_prompt="dog",
        seed=2**63 - 1,
        width=8,
        height=8,
        base="o/b",
        revision="r",
        steps=7,
        sampler="DPM++ 2M Karras",
        guidance_scale=4.5,
        adapters=[RecipeAdapter("ns/ink", "ab" * 32, 0.5)],
    )
)


def said(file: bytes) -> str | None:
    """The text of a file, as Pillow reads it."""
    with Image.open(BytesIO(file)) as opened:
        comment = opened.getexif().get_ifd(IFD.Exif).get(Base.UserComment, b"")
        found: str | None = opened.info.get("parameters")
    return found if found is not None else comment.removeprefix(b"UNICODE\0").decode("utf-16-be") or None


@pytest.mark.parametrize("format_", WITH_TEXT)
def test_a_file_holds_the_text_and_the_same_picture(format_: ImageFormat) -> None:
    file, without = encode(PICTURE, format_, TEXT), encode(PICTURE, format_)
    assert said(file) == TEXT
    assert said(without) is None
    assert Image.open(BytesIO(file)).tobytes() == Image.open(BytesIO(without)).tobytes()
    assert encode(PICTURE, format_, TEXT) == file


@pytest.mark.parametrize("format_", WITH_TEXT)
def test_a_reader_that_people_use_finds_prompt_sampler_and_settings(format_: ImageFormat) -> None:
    found = ParserManager().parse(Image.open(BytesIO(encode(PICTURE, format_, TEXT))))
    assert found is not None
    assert [prompt.value for prompt in found.prompts] == ["ein Käse 🧀, (alt) <lora:ns/ink:0.5>"]
    assert [prompt.value for prompt in found.negative_prompts] == ["dog"]
    (sampler,) = found.samplers
    assert sampler.name == "DPM++ 2M Karras"
    assert sampler.parameters | {"seed": "9223372036854775807"} == sampler.parameters
    assert [model.name for model in found.models] == ["o/b"]


def test_a_text_that_a_file_has_no_room_for_is_known_before() -> None:
    most = "a" * (2 * MAX_PROMPT_CHARACTERS)
    assert can_hold(ImageFormat.JPEG, most)
    assert said(encode(PICTURE, ImageFormat.JPEG, most)) == most
    largest = "🧀" * 16_248
    assert can_hold(ImageFormat.JPEG, largest)
    assert said(encode(PICTURE, ImageFormat.JPEG, largest)) == largest
    assert not can_hold(ImageFormat.JPEG, largest + "🧀")
    assert can_hold(ImageFormat.PNG, largest + "🧀")
    assert not any(can_hold(format_, "a") for format_ in set(ImageFormat) - set(WITH_TEXT))
