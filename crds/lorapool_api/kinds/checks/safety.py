"""Who looks at pictures before they leave a pool."""

from enum import StrEnum

from pydantic import Field

from lorapool_api.schema import ApiModel


class WithoutVerdict(StrEnum):
    """What becomes of pictures that nobody could look at."""

    REFUSE = "Refuse"
    ALLOW = "Allow"


class Safety(ApiModel):
    """A checker that pods ask over HTTP about each picture before it leaves them."""

    url: str = Field(
        description="Where each picture is sent as it is encoded, by POST with its media type; the pool's pods must "
        'reach it. It answers 200 with JSON: {"safe": true}, or {"safe": false, "reason": "..."} for a picture that '
        "must not leave.",
        pattern=r"^https?://[^\s/@?#]+(/[^\s#]*)?$",
        max_length=1000,
    )
    timeout_seconds: int = Field(default=10, description="How long one picture may take to be looked at.", ge=1, le=120)
    without_verdict: WithoutVerdict = Field(
        default=WithoutVerdict.REFUSE,
        description="What becomes of pictures where the checker is not reached, takes too long, or answers anything "
        "else. Refuse: the request fails, and may be tried again. Allow: they leave, with a warning.",
    )
