"""What a kubelet says of pods, as far as the operator and the Deployment's controller look at it."""

from lorapool_api import names
from lorapool_common.kube.client import Kube
from lorapool_common.kube.resources import PODS, Manifest


async def say_that_they_run(kube: Kube, namespace: str, addresses: list[str]) -> bool:
    """Give each pod an address; whether all are there."""
    found = await kube.list(PODS, namespace, names.POOL_LABEL)
    for body, address in zip(sorted(found, key=lambda body: str(body["metadata"]["name"])), addresses, strict=False):
        if len(found) == len(addresses):
            await kube.patch(PODS, namespace, body["metadata"]["name"], {"status": _running(address)}, "status")
    return len(found) == len(addresses)


def _running(ip: str) -> Manifest:
    conditions = [{"type": type_, "status": "True"} for type_ in ("Ready", "ContainersReady", "PodScheduled")]
    container = {
        "name": "runtime", "ready": True, "restartCount": 0, "image": "stub", "imageID": "",
        "state": {"running": {"startedAt": "2026-01-01T00:00:00Z"}},
    }  # fmt: skip
    return {
        "phase": "Running", "podIP": ip, "podIPs": [{"ip": ip}], "conditions": conditions,
        "containerStatuses": [container],
    }  # fmt: skip
