"""What every pod of a node shares."""

from dataclasses import dataclass
from pathlib import Path

import httpx

from lorapool_common.kube.client import Kube
from lorapool_local.config import NodeConfig
from lorapool_local.loopback import PodAddresses
from lorapool_local.node.containers.process import Mode
from lorapool_local.node.reports.events import EventRecorder
from lorapool_local.node.spec.images import Images
from lorapool_local.node.volumes.references import References


@dataclass(frozen=True)
class NodeDeps:
    """Clients, addresses and settings of the node, passed to the worker of each pod."""

    config: NodeConfig
    kube: Kube
    references: References
    events: EventRecorder
    images: Images
    addresses: PodAddresses
    probe_http: httpx.AsyncClient
    mode: Mode
    state_dir: Path
    pods_dir: Path
    host_ip: str
    api_host: str
    api_port: int
    allocatable: dict[str, str]
