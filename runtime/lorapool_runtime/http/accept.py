"""What a client wants back: the reply in JSON, or the first image itself."""

from lorapool_api.wire.request import ImageFormat
from lorapool_common.http.accept import media_ranges

_TYPES = {f.media_type: f for f in ImageFormat} | {"image/jpg": ImageFormat.JPEG}


def image_wanted(accept: str, default: ImageFormat) -> ImageFormat | None:
    """The format of the image itself, or None where JSON is as welcome.

    The best image type that we make wins over JSON only with a greater weight, or when it is named first.
    `*/*` asks for nothing in particular, so it gets JSON.
    """
    for media_type in _by_weight(accept):
        if media_type in ("application/json", "application/*", "*/*"):
            return None
        if media_type in _TYPES:
            return _TYPES[media_type]
        if media_type == "image/*":
            return default
    return None


def _by_weight(accept: str) -> list[str]:
    """Media types, the most wanted first; those with weight 0 are not wanted at all."""
    ranges = sorted(media_ranges(accept), key=lambda found: -found[1])
    return [kind for kind, weight in ranges if weight > 0]
