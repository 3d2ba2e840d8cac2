"""How the pods of a pool run."""

from enum import StrEnum
from typing import Any

from pydantic import ConfigDict, Field

from lorapool_api.kinds.quantities import ByteQuantity, IntOrPercent, IntOrQuantity
from lorapool_api.schema import ApiModel, Rule, rules


class EngineName(StrEnum):
    """What makes the images."""

    DIFFUSERS = "diffusers"
    STUB = "stub"


class Device(StrEnum):
    """Where the base model lives."""

    CUDA = "cuda"
    CPU = "cpu"


class ResourceRequirements(ApiModel):
    """Compute resources of the runtime container."""

    limits: dict[str, IntOrQuantity] | None = Field(
        default=None, description="Upper bounds, for example nvidia.com/gpu: 1."
    )
    requests: dict[str, IntOrQuantity] | None = Field(
        default=None, description="What the scheduler reserves; defaults to the limits."
    )


class StubTimings(ApiModel):
    """How long the stub engine pretends to work."""

    load_milliseconds: int = Field(default=0, description="Loading the base.", ge=0, le=600_000)
    switch_milliseconds: int = Field(default=0, description="Switching to another adapter.", ge=0, le=600_000)
    step_milliseconds: int = Field(default=0, description="One step of one image.", ge=0, le=600_000)
    wake_milliseconds: int = Field(
        default=0, description="Bringing the base back to the device, after it slept.", ge=0, le=600_000
    )


class CacheClaim(ApiModel):
    """A PersistentVolumeClaim that the pods share."""

    claim_name: str = Field(description="Name of the claim.", min_length=1, max_length=253)


class CacheHostPath(ApiModel):
    """A folder of the node that the pods on it share."""

    path: str = Field(
        description=(
            "Folder on the node. Kubernetes leaves its owner as it is, so user 65532 must be able to write to it: on "
            "each node `install -d -o 65532 -g 65532 FOLDER`. A namespace that enforces the Pod Security Standards "
            "baseline or restricted refuses such pods."
        ),
        pattern=r"^/.+",
        max_length=1024,
    )


class CacheEmptyDir(ApiModel):
    """A folder that lives as long as the pod."""

    size_limit: ByteQuantity = Field(
        default="100Gi",
        description="Most that it may hold: base model and adapter files. A pod whose folder outgrows it is evicted.",
    )


class Cache(ApiModel):
    """The volume for downloaded models and adapters: one of the fields; an emptyDir of at most 100Gi if none is set."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            Rule(
                "(has(self.emptyDir) ? 1 : 0) + (has(self.claim) ? 1 : 0) + (has(self.hostPath) ? 1 : 0) <= 1",
                "at most one of emptyDir, claim or hostPath may be set",
            )
        )
    )

    empty_dir: CacheEmptyDir | None = Field(
        default=None, description="A folder that lives as long as the pod (default)."
    )
    claim: CacheClaim | None = Field(
        default=None,
        description="A PersistentVolumeClaim; pods on several nodes need one with the access mode ReadWriteMany.",
    )
    host_path: CacheHostPath | None = Field(default=None, description="A folder of the node.")


_IS_NOTHING = "(type(self.{0}) == int ? self.{0} == 0 : self.{0} == '0%')"


class PodRollout(ApiModel):
    """How pods are replaced when the base, the image or anything else of their template changes."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            Rule(
                f"!has(self.maxUnavailable) || !{_IS_NOTHING.format('maxSurge')} || "
                f"!{_IS_NOTHING.format('maxUnavailable')}",
                "maxSurge and maxUnavailable must not both be 0: no pod could be replaced",
            )
        )
    )

    max_surge: IntOrPercent = Field(
        default=1,
        description="Pods beyond the replicas while pods are replaced, as a number or as a percentage of the replicas. "
        "A new pod that takes requests costs none; it needs a GPU that nobody uses.",
    )
    max_unavailable: IntOrPercent | None = Field(
        default=None,
        description="Pods that may be missing while pods are replaced. Default: 0 for as long as new pods find room. "
        "Once one has found none for three minutes (no node, a quota), old pods make room in the rest of the rollout.",
    )
    progress_deadline_seconds: int = Field(
        default=3600,
        description="Seconds in which nothing moves before the condition Progressing is False with the reason "
        "ProgressDeadlineExceeded. Old pods serve on. Large models take long to download.",
        ge=1,
        le=604_800,
    )


class RuntimeSpec(ApiModel):
    """How the pods of the pool run."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            Rule("!has(self.stub) || self.engine == 'stub'", "stub timings need engine: stub"),
        )
    )

    engine: EngineName = Field(
        default=EngineName.DIFFUSERS,
        description="diffusers, or stub: no torch, deterministic images, simulated timings.",
    )
    stub: StubTimings | None = Field(default=None, description="Timings of the stub engine.")
    image: str | None = Field(
        default=None,
        description="Image of the runtime container; default from the installation.",
        min_length=1,
        max_length=512,
    )
    device: Device = Field(default=Device.CUDA, description="cuda or cpu.")
    resources: ResourceRequirements | None = Field(default=None, description="Compute resources of the container.")
    pod_template: dict[str, Any] | None = Field(
        default=None,
        description=(
            "A PodTemplateSpec that is merged over the one that the operator builds (strategic merge: containers, "
            "volumes, mounts and env by name; null or `$patch: delete` removes): nodeSelector, tolerations, volumes, "
            "env and the like. The runtime's container is called runtime; its command, ports and probes stay as "
            "they are."
        ),
        json_schema_extra={"x-kubernetes-preserve-unknown-fields": True},
    )
    rollout: PodRollout = Field(
        default=PodRollout(), description="How pods are replaced when anything of their template changes."
    )
    cache: Cache = Field(default=Cache(), description="Volume for downloaded models and adapters.")
