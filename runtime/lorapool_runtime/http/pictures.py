"""Pictures that clients send: hostile until they are pixels of a bounded size."""

import base64
import binascii
import io
import warnings
from typing import Final

from PIL import Image

from lorapool_api.wire.reply import ErrorCode
from lorapool_runtime.errors import RequestError

_FORMATS: Final = ("PNG", "JPEG", "WEBP")


def size_of(name: str, encoded: str, max_pixels: int) -> tuple[int, int]:
    """(width, height) from the picture's header alone. Raises: RequestError."""
    return _opened(name, encoded, max_pixels).size


def decode(name: str, encoded: str, max_pixels: int, mode: str, size: tuple[int, int]) -> Image.Image:
    """The picture in that mode and size.

    Args:
        name: the request's field, for the error.
        encoded: base64, bare or as a `data:` address.
        max_pixels: of the picture as it was sent; checked before a pixel is read.

    Raises:
        RequestError: `InvalidRequest`.
    """
    picture = _opened(name, encoded, max_pixels)
    try:
        converted = picture.convert(mode)
    except (OSError, ValueError, SyntaxError) as error:
        raise _invalid(name, "is broken") from error
    return converted if converted.size == size else converted.resize(size, Image.Resampling.LANCZOS)


def _opened(name: str, encoded: str, max_pixels: int) -> Image.Image:
    if encoded.startswith("data:"):
        encoded = encoded.partition(",")[2]
    try:
        data = base64.b64decode(encoded, validate=True)
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            picture = Image.open(io.BytesIO(data), formats=_FORMATS)
    except (binascii.Error, ValueError) as error:
        raise _invalid(name, "is not base64") from error
    except (OSError, SyntaxError, Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise _invalid(name, f"is no picture that can be read ({', '.join(_FORMATS)})") from error
    if picture.width * picture.height > max_pixels:
        raise _invalid(name, f"has {picture.width} x {picture.height} pixels; at most {max_pixels} are read")
    return picture


def _invalid(name: str, what: str) -> RequestError:
    return RequestError(ErrorCode.INVALID_REQUEST, f"{name} {what}")
