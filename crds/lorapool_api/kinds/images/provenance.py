"""What pictures say of how they were made."""

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from lorapool_api.schema import ApiModel


class RecipeText(StrEnum):
    """Whether a picture's file holds its recipe, as text."""

    REFUSE = "Refuse"
    ALLOW = "Allow"
    WRITE = "Write"


class ContentCredentials(StrEnum):
    """Which pictures are signed."""

    ALLOW = "Allow"
    SIGN = "Sign"


class Provenance(ApiModel):
    """What pictures say of how they were made."""

    recipe: RecipeText = Field(
        default=RecipeText.ALLOW,
        description="Whether the file of a picture holds its prompt, seed, adapters and settings, as the text "
        "`parameters` that A1111's WebUI writes. Refuse: never, and a request that asks for it (`metadata: true`) is "
        "refused. Allow: where the request asks for it. Write: unless the request says `metadata: false`. It is "
        "written into PNG, JPEG and WebP.",
    )
    content_credentials: ContentCredentials = Field(
        default=ContentCredentials.ALLOW,
        description="Which pictures get a C2PA manifest, signed with the gateway's key "
        "(`gateway.contentCredentials.secretName` of the chart). Allow: those of requests that ask for it "
        "(`content_credentials: true`). Sign: all of them; a picture that cannot be signed does not leave, and there "
        "are no previews.",
    )


def _is_none(value: object) -> bool:
    return value is None


ProvenanceField = Annotated[
    Provenance | None,
    Field(
        description="What pictures say of how they were made. Default: what a request asks for.", exclude_if=_is_none
    ),
]
