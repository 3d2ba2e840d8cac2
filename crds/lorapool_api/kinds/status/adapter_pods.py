"""What a status says of the pods that hold an adapter."""

from pydantic import Field

from lorapool_api.schema import ApiModel


class PodFailure(ApiModel):
    """A pod that cannot serve the adapter."""

    pod: str = Field(description="Name of the pod.")
    reason: str = Field(description="Why, in one word.")
    message: str = Field(description="Why, in a sentence.")


class AdapterPods(ApiModel):
    """The pods that hold the adapter."""

    ready: int = Field(default=0, description="Warm pods that have it on their disk, checked.")
    total: int = Field(default=0, description="Warm pods of the pool: each of them serves it.")
    copies: int = Field(default=0, description="Pods that bring it ahead of requests.")
    unplaced: int | None = Field(
        default=None,
        description="Copies that no pod's disk has room for, by the pool's adapters.diskBudget.",
        exclude_if=lambda unplaced: not unplaced,
    )
    failed: tuple[PodFailure, ...] = Field(
        default=(),
        description="Pods that cannot serve it; at most ten are named.",
        max_length=10,
        exclude_if=lambda failed: not failed,  # `kubectl describe` would show a heading with nothing below it
    )
