"""What a client wants back: the reply in JSON, or the first image itself."""

from lorapool_api.wire.request import ImageFormat

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
    weighted = [(_weight(parameters), kind.strip().lower()) for kind, *parameters in _ranges(accept)]
    return [kind for weight, kind in sorted(weighted, key=lambda w: -w[0]) if weight > 0]


def _ranges(accept: str) -> list[list[str]]:
    return [part.split(";") for part in accept.split(",") if part.strip()]


def _weight(parameters: list[str]) -> float:
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip().lower() == "q":
            try:
                return float(value)
            except ValueError:
                return 0.0
    return 1.0
