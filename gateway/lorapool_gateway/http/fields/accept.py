"""Which encoding of an image a client prefers (RFC 9110, 12.5.1): pure."""

from functools import lru_cache
from typing import Final

from lorapool_api.wire.request import ImageFormat
from lorapool_common.http.accept import media_ranges

DEFAULT = ImageFormat.JPEG
# In the order of preference where a client leaves the choice.
_USUAL_CHARACTERS: Final = 128
_OFFERED = (ImageFormat.JPEG, ImageFormat.PNG, ImageFormat.WEBP, ImageFormat.TIFF, ImageFormat.BMP)


def preferred_format(accept: str | None) -> ImageFormat:
    """The offered format with the highest q-value; the default where the header names no image at all."""
    return _usual(accept) if accept is not None and len(accept) <= _USUAL_CHARACTERS else _preferred(accept or "")


def _preferred(accept: str) -> ImageFormat:
    ranges = media_ranges(accept)
    quality = {offered: _quality(offered.media_type, ranges) for offered in _OFFERED}
    best = max(_OFFERED, key=lambda offered: quality[offered])
    return best if quality[best] > 0 else DEFAULT


# Clients say one of a few things.
_usual = lru_cache(256)(_preferred)


def _quality(media: str, ranges: list[tuple[str, float]]) -> float:
    """The q-value of the most specific range that covers the type."""
    for pattern in (media, "image/*", "*/*"):
        for name, q in ranges:
            if name.replace("image/jpg", "image/jpeg") == pattern:
                return q
    return 0.0
