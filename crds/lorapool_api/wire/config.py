"""The configuration that a pod starts with."""

from pydantic import Field

from lorapool_api.kinds.base_model import BaseModelSpec
from lorapool_api.kinds.pool import Undeclared
from lorapool_api.kinds.runtime import Device, EngineName, StubTimings
from lorapool_api.kinds.serving import Serving
from lorapool_api.wire.message import Wire


class Budgets(Wire):
    """Most memory and disk for the adapters of a pod, in bytes. None: as much as there is."""

    device_bytes: int | None = None
    host_bytes: int = 4 * 1024**3
    disk_bytes: int | None = None


class TrustedKeys(Wire):
    """Whose signed calls a pod takes: public parts of Ed25519 keys, in base64.

    Attributes:
        operators: at the control port; none: who has the token in the pod's file.
        gateways: at the serving port; none: everybody.
    """

    operators: tuple[str, ...] = ()
    gateways: tuple[str, ...] = ()


class RuntimeConfig(Wire):
    """All that the process of a runtime pod is configured with; JSON in the environment variable `CONFIG_ENV`."""

    pool: str = Field(description="namespace/name of the pool; `local/<name>` outside Kubernetes.")
    model: BaseModelSpec
    engine: EngineName = EngineName.DIFFUSERS
    device: Device = Device.CUDA
    stub: StubTimings = StubTimings()
    serving: Serving = Serving()
    max_rank: int = 128
    max_file_bytes: int = 2 * 1024**3
    budgets: Budgets = Budgets()
    undeclared: Undeclared = Field(
        default=Undeclared.DENY, description="Whether requests may name repositories of the Hub that nobody declared."
    )
    trusted: TrustedKeys = TrustedKeys()
    path_roots: tuple[str, ...] = Field(
        default=(), description="Folders below which `path` sources may lie: mounts of the volumes named for them."
    )
    path_hidden: tuple[str, ...] = Field(
        default=(), description="Folders below those where other volumes are mounted: nothing of them is read."
    )
    url_hosts: tuple[str, ...] = Field(
        default=(),
        description="Hosts that `url` sources may name, and addresses that are not public: `lorapool_api.fetch.hosts`.",
    )
