"""Which encoding of an image a client prefers (RFC 9110, 12.5.1): pure."""

from lorapool_api.wire.request import ImageFormat

DEFAULT = ImageFormat.JPEG
# In the order of preference where a client leaves the choice.
_OFFERED = (ImageFormat.JPEG, ImageFormat.PNG, ImageFormat.WEBP, ImageFormat.TIFF, ImageFormat.BMP)


def preferred_format(accept: str | None) -> ImageFormat:
    """The offered format with the highest q-value; the default where the header names no image at all."""
    ranges = [_range(part) for part in (accept or "").split(",") if part.strip()]
    quality = {offered: _quality(offered.media_type, ranges) for offered in _OFFERED}
    best = max(_OFFERED, key=lambda offered: quality[offered])
    return best if quality[best] > 0 else DEFAULT


def _range(part: str) -> tuple[str, float]:
    """A media range and its q-value; one that cannot be read counts as not acceptable."""
    media, *parameters = (piece.strip().lower() for piece in part.split(";"))
    q = next((p[2:] for p in parameters if p.startswith("q=")), "1")
    try:
        return media, min(max(float(q), 0.0), 1.0)
    except ValueError:
        return media, 0.0


def _quality(media: str, ranges: list[tuple[str, float]]) -> float:
    """The q-value of the most specific range that covers the type."""
    for pattern in (media, "image/*", "*/*"):
        for name, q in ranges:
            if name.replace("image/jpg", "image/jpeg") == pattern:
                return q
    return 0.0
