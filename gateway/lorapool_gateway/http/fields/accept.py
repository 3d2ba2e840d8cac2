"""Which encoding of an image a client prefers (RFC 9110, 12.5.1): pure."""

from lorapool_api.wire.request import ImageFormat
from lorapool_common.http.accept import media_ranges

DEFAULT = ImageFormat.JPEG
# In the order of preference where a client leaves the choice.
_OFFERED = (ImageFormat.JPEG, ImageFormat.PNG, ImageFormat.WEBP, ImageFormat.TIFF, ImageFormat.BMP)


def preferred_format(accept: str | None) -> ImageFormat:
    """The offered format with the highest q-value; the default where the header names no image at all."""
    ranges = media_ranges(accept or "")
    quality = {offered: _quality(offered.media_type, ranges) for offered in _OFFERED}
    best = max(_OFFERED, key=lambda offered: quality[offered])
    return best if quality[best] > 0 else DEFAULT


def _quality(media: str, ranges: list[tuple[str, float]]) -> float:
    """The q-value of the most specific range that covers the type."""
    for pattern in (media, "image/*", "*/*"):
        for name, q in ranges:
            if name.replace("image/jpg", "image/jpeg") == pattern:
                return q
    return 0.0
