"""Pictures that clients send: hostile until they are pixels of a bounded size."""

import base64
import binascii
import io
import math
import struct
import threading
import warnings
from collections.abc import Sequence
from typing import Final

from PIL import ExifTags, Image, ImageOps

from lorapool_api.wire.gateways.pictures import referred
from lorapool_api.wire.reply import ErrorCode
from lorapool_runtime.errors import RequestError

Encoded = str | memoryview
# What a camera makes is larger than what a pool makes, and is scaled down.
MAX_PIXELS: Final = 25_000_000
# A picture of that size takes 100 MB while it is decoded, so few are at a time.
_DECODING: Final = threading.BoundedSemaphore(2)
_FORMATS: Final = ("PNG", "JPEG", "WEBP")
# EXIF's orientation (tag 274) -> what puts the picture the right way up.
_UPRIGHT: Final = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_SIDEWAYS: Final = (5, 6, 7, 8)
_BROKEN: Final = (OSError, ValueError, SyntaxError, struct.error, KeyError, TypeError, EOFError)

# Once for the process: changing filters around each call is not safe in threads. What Pillow warns of in a client's
# picture (its size, its EXIF) is checked here, or does not matter.
warnings.filterwarnings("ignore", module=r"PIL\.")


class SentPictures:
    """Those of one request, in base64 within it or as they are beside it."""

    def __init__(self, beside: Sequence[memoryview] = ()) -> None:
        self._beside = beside

    def size_of(self, name: str, said: str, max_pixels: int, max_side: int) -> tuple[int, int]:
        """As the function of that name. Raises: RequestError."""
        return size_of(name, self._found(name, said), max_pixels, max_side)

    def decode(self, name: str, said: str, mode: str, size: tuple[int, int], *, holes: bool = False) -> Image.Image:
        """As the function of that name. Raises: RequestError."""
        return decode(name, self._found(name, said), mode, size, holes=holes)

    def _found(self, name: str, said: str) -> str | memoryview:
        try:
            found = referred(said, self._beside)
        except ValueError as error:
            raise _invalid(name, f"stands for nothing: {error}") from error
        return said if found is None else found


NO_PICTURES: Final = SentPictures()


def size_of(name: str, encoded: Encoded, max_pixels: int, max_side: int) -> tuple[int, int]:
    """(width, height) of the picture the right way up, from its header alone, scaled down to what a result may have.

    Raises:
        RequestError: `InvalidRequest`.
    """
    picture = _opened(name, encoded)
    width, height = picture.size
    if _orientation(picture) in _SIDEWAYS:
        width, height = height, width
    scale = min(1.0, math.sqrt(max_pixels / (width * height)), max_side / max(width, height))
    return max(1, int(width * scale)), max(1, int(height * scale))


def decode(name: str, encoded: Encoded, mode: str, size: tuple[int, int], *, holes: bool = False) -> Image.Image:
    """The picture the right way up, in that mode and size.

    What is transparent becomes white in RGB, as a page would show it, and black in a mask (`L`), where it is kept.

    Args:
        name: the request's field, for the error.
        encoded: its bytes, or base64, bare or as a `data:` address.
        holes: of a mask that has transparency: white where it is transparent, black where it is not.

    Raises:
        RequestError: `InvalidRequest`.
    """
    with _DECODING:
        picture = _opened(name, encoded)
        way = _UPRIGHT.get(_orientation(picture))
        try:
            # A JPEG decodes to a half, a quarter or an eighth of its size for much less than all of its pixels.
            picture.draft(None, (max(size), max(size)))
            if holes and picture.has_transparency_data:
                opaque = ImageOps.invert(picture.convert("RGBA").getchannel("A"))
            else:
                opaque = _without_alpha(picture, "white" if mode == "RGB" else "black").convert(mode)
        except _BROKEN as error:
            raise _invalid(name, "is broken") from error
        fitting = opaque.transpose(way) if way is not None else opaque
        made = fitting if fitting.size == size else fitting.resize(size, Image.Resampling.LANCZOS)
        made.info.clear()  # EXIF, profiles: as long as the file for a hostile one
        return made


def _without_alpha(picture: Image.Image, ground: str) -> Image.Image:
    if not picture.has_transparency_data:
        return picture
    above = picture.convert("RGBA")
    below = Image.new("RGBA", above.size, ground)
    return Image.alpha_composite(below, above).convert("RGB")


def _orientation(picture: Image.Image) -> int:
    """EXIF's orientation; 1, as it lies, where there is none that can be read."""
    if picture.format == "PNG" and "exif" not in picture.info:
        return 1  # Pillow would decode all pixels to look behind them
    try:
        return int(picture.getexif().get(ExifTags.Base.Orientation, 1))
    except _BROKEN:
        return 1


def _opened(name: str, encoded: Encoded) -> Image.Image:
    try:
        picture = Image.open(io.BytesIO(_bytes(encoded)), formats=_FORMATS)
    except (binascii.Error, ValueError) as error:
        raise _invalid(name, "is not base64") from error
    except (OSError, SyntaxError, Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise _invalid(name, f"is no picture that can be read ({', '.join(_FORMATS)})") from error
    if picture.width * picture.height > MAX_PIXELS:
        raise _invalid(name, f"has {picture.width} x {picture.height} pixels; at most {MAX_PIXELS} are read")
    return picture


def _bytes(encoded: Encoded) -> bytes | memoryview:
    if not isinstance(encoded, str):
        return encoded
    return base64.b64decode(encoded.partition(",")[2] if encoded.startswith("data:") else encoded, validate=True)


def _invalid(name: str, what: str) -> RequestError:
    return RequestError(ErrorCode.INVALID_REQUEST, f"{name} {what}")
