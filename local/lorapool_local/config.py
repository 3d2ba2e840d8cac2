"""What a plane is started with. Travels as JSON from the command to its supervisor."""

import os
from enum import StrEnum

import psutil
from pydantic import BaseModel, ConfigDict, Field


class Isolation(StrEnum):
    """How pods are kept apart: with the kernel's namespaces, or by folders alone."""

    AUTO = "auto"
    NAMESPACES = "namespaces"
    FOLDERS = "folders"


class BackoffConfig(BaseModel):
    """The pause before a container is started again: doubles with every crash, as the kubelet's does."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    initial_s: float = 10.0
    maximum_s: float = 300.0
    reset_after_s: float = 600.0


class NodeConfig(BaseModel):
    """The one node of a plane."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = "lorapool-local"
    cpu: str = Field(default_factory=lambda: str(os.cpu_count() or 1))
    memory: str = Field(default_factory=lambda: f"{psutil.virtual_memory().total // 2**20}Mi")
    pods: int = 110
    gpus: int = 0
    images: dict[str, list[str]] = Field(default_factory=dict)
    """Image to the command it stands for, besides lorapool's own images."""
    isolation: Isolation = Isolation.AUTO
    backoff: BackoffConfig = BackoffConfig()


class PlaneConfig(BaseModel):
    """The plane: its node, and flags to add to a component's own."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    node: NodeConfig = Field(default_factory=NodeConfig)
    extra_flags: dict[str, list[str]] = Field(default_factory=dict)
    """Component (as `kube-apiserver`) to flags that are added to its own."""


class SupervisorConfig(BaseModel):
    """What a supervisor reads from its state folder."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    plane: PlaneConfig
    binaries: dict[str, str]
    lifeline: bool
    """Whether the plane ends when standard input does."""
