"""What the URL of an image is."""

from enum import StrEnum
from typing import Annotated

from pydantic import Field


class ImageUrls(StrEnum):
    """What a request gets that asks for the URL of an image."""

    GATEWAY = "Gateway"
    DATA = "Data"


def _is_none(value: object) -> bool:
    return value is None


ImageUrlsField = Annotated[
    ImageUrls | None,
    Field(
        description="What a request gets that asks for the URL of an image (`response_format: url`). Gateway: an "
        "address of the gateway, good for ten minutes and for whoever knows it. Data: the image itself, in a `data:` "
        "URL; nothing is kept. Default: Gateway.",
        exclude_if=_is_none,
    ),
]
