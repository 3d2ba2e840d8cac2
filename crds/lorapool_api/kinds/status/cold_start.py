"""What a status says of how a pod came up."""

from typing import Annotated

from pydantic import Field

from lorapool_api.schema import ApiModel


class ColdStartStage(ApiModel):
    """A part of a cold start."""

    name: str = Field(
        description="pod (made, until its container runs: a node, the image), process (until the base begins to load), "
        "import, files (of the base), load, warm_up, catalog (until it has its adapters' list), image (the first).",
        max_length=256,
    )
    seconds: float = Field(description="How long it took.")


Stages = Annotated[
    tuple[ColdStartStage, ...],
    Field(
        max_length=64,
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
    ),
]


class ColdStart(ApiModel):
    """How the newest pod that is warm came up, stage by stage."""

    pod: str = Field(description="Name of the pod.")
    stages: Stages = Field(default=(), description="Those that are over, in their order.")
    seconds_to_first_image: float | None = Field(
        default=None,
        description="All stages together, once an image was made: what a request waits for that finds no pod. The time "
        "until somebody asked is not in it.",
        exclude_if=lambda seconds: seconds is None,
    )
