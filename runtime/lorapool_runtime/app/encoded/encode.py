"""Images as bytes."""

from io import BytesIO
from typing import Any, Final

from PIL import ExifTags
from PIL.Image import Exif, Image
from PIL.PngImagePlugin import PngInfo

from lorapool_api.wire.request import ImageFormat

_OPTIONS: dict[ImageFormat, dict[str, int | bool]] = {
    ImageFormat.JPEG: {"quality": 92},
    ImageFormat.WEBP: {"quality": 92},
    ImageFormat.PNG: {"compress_level": 4},
}
# The keyword that A1111's WebUI writes, and that tools look for.
PARAMETERS: Final = "parameters"
# Exif 2.3, 4.6.5: UserComment begins with the code of its characters.
_UNICODE: Final = b"UNICODE\0"
# A segment of a JPEG has 64 KiB, less its length, Exif's own head and its directories.
_JPEG_TEXT_BYTES: Final = 65_000


def encode(image: Image, format_: ImageFormat, text: str | None = None) -> bytes:
    """The image in that encoding; the same image and text give the same bytes.

    Args:
        text: what the file says of how it was made; None where `can_hold` says that it has no room for it.
    """
    buffer = BytesIO()
    said = {} if text is None else _said(format_, text)
    image.convert("RGB").save(buffer, format_.value, **_OPTIONS.get(format_, {}), **said)
    return buffer.getvalue()


def can_hold(format_: ImageFormat, text: str) -> bool:
    """Whether a file of that format has room for the text, where tools look for it."""
    if format_ is ImageFormat.JPEG:
        return len(_comment(text)) <= _JPEG_TEXT_BYTES
    return format_ in (ImageFormat.PNG, ImageFormat.WEBP)


def _said(format_: ImageFormat, text: str) -> dict[str, Any]:
    if format_ is ImageFormat.PNG:
        info = PngInfo()
        info.add_text(PARAMETERS, text)
        return {"pnginfo": info}
    exif = Exif()
    exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.UserComment] = _comment(text)
    return {"exif": exif}


def _comment(text: str) -> bytes:
    """Big-endian, as the WebUI's own writer has it; readers are not told."""
    return _UNICODE + text.encode("utf-16-be")
