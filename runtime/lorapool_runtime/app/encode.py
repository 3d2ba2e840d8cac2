"""Images as bytes."""

from io import BytesIO

from PIL.Image import Image

from lorapool_api.wire.request import ImageFormat

_OPTIONS: dict[ImageFormat, dict[str, int | bool]] = {
    ImageFormat.JPEG: {"quality": 92},
    ImageFormat.WEBP: {"quality": 92},
    ImageFormat.PNG: {"compress_level": 4},
}


def encode(image: Image, format_: ImageFormat) -> bytes:
    """The image in that encoding; the same image gives the same bytes."""
    buffer = BytesIO()
    image.convert("RGB").save(buffer, format_.value, **_OPTIONS.get(format_, {}))
    return buffer.getvalue()
