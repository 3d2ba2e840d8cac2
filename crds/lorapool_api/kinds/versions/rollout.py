"""How a new version of an adapter comes into service."""

from pydantic import Field

from lorapool_api.schema import ApiModel


class Rollout(ApiModel):
    """How another version of an adapter comes into service. By default for all requests, as soon as pods have it."""

    canary: int = Field(
        description="Percent of requests that get the new version, the same ones each time, by their seed, else by the "
        "API key; until this is 100, or rollout is left out.",
        ge=1,
        le=100,
    )
