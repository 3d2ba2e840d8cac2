"""How many pods a pool has, by the requests for it."""

from pydantic import ConfigDict, Field

from lorapool_api.schema import ApiModel, Rule, rules

MOST_REPLICAS = 1000


class Scaling(ApiModel):
    """The operator keeps as many pods as the requests need, within these bounds."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            Rule("self.minReplicas <= self.maxReplicas", "minReplicas is at most maxReplicas"),
        )
    )

    min_replicas: int = Field(
        default=1,
        description="Fewest pods. With 0 the last one goes after idleSeconds without a request; the next request is "
        "held while a pod starts. A new pool begins with at least one, which finds out whether its base works.",
        ge=0,
        le=MOST_REPLICAS,
    )
    max_replicas: int = Field(description="Most pods.", ge=1, le=MOST_REPLICAS)
    target_pending: int = Field(
        default=2,
        description="Requests for each pod, those that it works on and those that wait: where there are more, another "
        "pod is added at once.",
        ge=1,
        le=10_000,
    )
    scale_down_delay_seconds: int = Field(
        default=120,
        description="A pod goes when it was not needed for so long; one that comes back within it costs a cold start.",
        ge=0,
        le=86_400,
    )
    idle_seconds: int = Field(
        default=600,
        description="With minReplicas 0: the last pod goes when nobody has asked for an image for so long. With sleep: "
        "a pod that nobody has asked for so long sleeps.",
        ge=1,
        le=604_800,
    )
    sleep: bool | None = Field(
        default=None,
        description="True: at least one pod stays, also with minReplicas 0. After idleSeconds without a request its "
        "base waits in host memory, and the memory of the device is free for whoever shares it; the next request "
        "brings it back. The pod keeps its GPU as far as Kubernetes counts, and needs host memory for the base.",
        exclude_if=lambda sleep: sleep is None,
    )

    @property
    def fewest(self) -> int:
        """Pods that there are at least: one that sleeps stands for none."""
        return max(1, self.min_replicas) if self.sleep else self.min_replicas

    @property
    def sleep_after_s(self) -> float | None:
        """After so long without a request a pod sleeps; None: never."""
        return float(self.idle_seconds) if self.sleep else None
