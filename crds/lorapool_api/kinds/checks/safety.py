"""Who looks at pictures before they leave a pool."""

from enum import StrEnum

from pydantic import ConfigDict, Field

from lorapool_api.schema import ApiModel, Rule, rules


def _is_none(value: object) -> bool:
    return value is None


def _is_false(value: object) -> bool:
    return value is False


class WithoutVerdict(StrEnum):
    """What becomes of pictures that nobody could look at."""

    REFUSE = "Refuse"
    ALLOW = "Allow"


class Safety(ApiModel):
    """What pods ask about each picture before it leaves them: a checker over HTTP, the base's own, or both."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            Rule("has(self.url) || (has(self.pipeline) && self.pipeline)", "name a checker: url, or pipeline: true")
        )
    )

    pipeline: bool = Field(
        default=False,
        description="Whether the checker is asked that the base itself brings along, as those of SD 1.x do "
        "(safety_checker and feature_extractor of its repository). It is loaded beside the base, of the same revision, "
        "and its weights are part of what the device holds.",
        exclude_if=_is_false,
    )
    url: str | None = Field(
        default=None,
        exclude_if=_is_none,
        description="Where each picture is sent as it is encoded, by POST with its media type; the pool's pods must "
        'reach it. It answers 200 with JSON: {"safe": true}, or {"safe": false, "reason": "..."} for a picture that '
        "must not leave.",
        pattern=r"^https?://[^\s/@?#]+(/[^\s#]*)?$",
        max_length=1000,
    )
    timeout_seconds: int = Field(
        default=10,
        description="How long one picture may take to be looked at; by the base's own checker, all of a request.",
        ge=1,
        le=120,
    )
    without_verdict: WithoutVerdict = Field(
        default=WithoutVerdict.REFUSE,
        description="What becomes of pictures where the checker is not reached, takes too long, or answers anything "
        "else. Refuse: the request fails, and may be tried again. Allow: they leave, with a warning.",
    )
