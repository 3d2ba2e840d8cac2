"""The Node object, and the Lease that says it lives."""

import asyncio
import platform
from collections.abc import Iterable
from datetime import UTC, datetime

import structlog

from lorapool_common.kube.client import STRATEGIC_PATCH, Kube
from lorapool_common.kube.errors import ApiError
from lorapool_common.kube.resources import LEASES, NODES, Manifest
from lorapool_local.config import NodeConfig
from lorapool_local.node.reports.conditions import condition, timestamp, with_transition_time

log = structlog.get_logger(__name__)

_LEASE_S = 40
_RENEW_S = 10.0
# The kubelet's period for a status in which nothing has changed.
_STATUS_EVERY = 30
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


def allocatable(config: NodeConfig) -> dict[str, str]:
    """What the scheduler may give to pods."""
    resources = {
        "cpu": config.cpu,
        "memory": config.memory,
        "pods": str(config.pods),
        "ephemeral-storage": "100Gi",
    }
    return resources | ({"nvidia.com/gpu": str(config.gpus)} if config.gpus else {})


def node_object(config: NodeConfig) -> Manifest:
    labels = {
        "kubernetes.io/hostname": config.name,
        "kubernetes.io/os": "linux",
        "kubernetes.io/arch": _ARCHITECTURES.get(platform.machine(), platform.machine()),
    }
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": config.name, "labels": labels},
    }


def node_status(
    config: NodeConfig, address: str, kubelet_port: int, present: Iterable[Manifest], now: datetime
) -> Manifest:
    """The status to report, given the conditions that the node has at present."""
    conditions = [
        condition("Ready", True, "KubeletReady", "the node runs pods as processes"),
        *(condition(kind, False, "KubeletHasEnough") for kind in ("MemoryPressure", "DiskPressure", "PIDPressure")),
    ]
    old = {c["type"]: c for c in present}
    return {
        "capacity": allocatable(config),
        "allocatable": allocatable(config),
        "addresses": [
            {"type": "InternalIP", "address": address},
            {"type": "Hostname", "address": config.name},
        ],
        "conditions": [
            with_transition_time(c, old.get(c["type"]), now) | {"lastHeartbeatTime": timestamp(now)} for c in conditions
        ],
        "daemonEndpoints": {"kubeletEndpoint": {"Port": kubelet_port}},
        "nodeInfo": {
            "architecture": _ARCHITECTURES.get(platform.machine(), platform.machine()),
            "operatingSystem": "linux",
            "osImage": platform.platform(),
            "kernelVersion": platform.release(),
            "kubeletVersion": "v1.34.1",
            "kubeProxyVersion": "",
            "containerRuntimeVersion": "lorapool://processes",
            "machineID": "",
            "systemUUID": "",
            "bootID": "",
        },
    }


class Registration:
    """Keeps the node registered and its lease fresh."""

    def __init__(self, kube: Kube, config: NodeConfig, address: str, kubelet_port: int) -> None:
        self._kube = kube
        self._config = config
        self._address = address
        self._port = kubelet_port

    async def register(self) -> None:
        """Create the Node or bring it up to date. Raises `ApiError`."""
        try:
            await self._kube.create(NODES, None, node_object(self._config))
        except ApiError as error:
            if not error.is_conflict:
                raise
        name = self._config.name
        present = (await self._kube.get(NODES, None, name)).get("status", {}).get("conditions", [])
        status = node_status(self._config, self._address, self._port, present, datetime.now(UTC))
        await self._kube.patch(NODES, None, name, {"status": status}, "status", STRATEGIC_PATCH)
        await self._renew_lease()

    async def keep(self) -> None:
        """Never returns."""
        beats = 0
        while True:
            await asyncio.sleep(_RENEW_S)
            beats += 1
            try:
                await self._renew_lease()
                if beats % _STATUS_EVERY == 0:
                    await self.register()
            except ApiError as error:
                log.warning("node not renewed", error=str(error))

    async def _renew_lease(self) -> None:
        name = self._config.name
        metadata = {"name": name, "namespace": "kube-node-lease"}
        renewed_at = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        spec = {"holderIdentity": name, "leaseDurationSeconds": _LEASE_S, "renewTime": renewed_at}
        await self._kube.apply(
            {"apiVersion": LEASES.api_version, "kind": LEASES.kind, "metadata": metadata, "spec": spec}
        )
