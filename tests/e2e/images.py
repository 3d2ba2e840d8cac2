"""Pools whose adapter files come from a ConfigMap, and images through the gateway."""

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import httpx
from tests import make
from tests.e2e.cluster import Cluster, Manifest


def pool_with_files(name: str, namespace: str, contents: Mapping[str, bytes], **spec: Any) -> tuple[Manifest, Manifest]:
    """A ConfigMap with the files, and a stub pool whose pods see them below /adapters."""
    config = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": f"{name}-files", "namespace": namespace},
        "binaryData": {file: base64.b64encode(content).decode() for file, content in contents.items()},
    }
    template = {
        "spec": {
            "containers": [{"name": "runtime", "volumeMounts": [{"name": "adapters", "mountPath": "/adapters"}]}],
            "volumes": [{"name": "adapters", "configMap": {"name": f"{name}-files"}}],
        }
    }
    serving = {"defaults": {"width": 64, "height": 64, "steps": 2}}
    runtime = {"engine": "stub", "device": "cpu", "podTemplate": template}
    adapters = {"pathVolumes": ["adapters"]} | spec.pop("adapters", {})
    plain = {"runtime": runtime, "serving": serving, "adapters": adapters}
    return config, make.pool_manifest(name, namespace, **(plain | spec))


@dataclass(frozen=True)
class Image:
    """An answer of the gateway."""

    status: int
    content: bytes
    headers: Mapping[str, str]

    @property
    def adapters(self) -> list[dict[str, Any]]:
        """Which adapter files made it, as the gateway says."""
        made: list[dict[str, Any]] = json.loads(self.headers["x-lorapool-adapters"])
        return made


def generate(cluster: Cluster, model: str, *, lora: str | None = None, seed: int = 1, check: bool = True) -> Image:
    """One PNG by the Hugging Face shape; with `check`, anything but 200 fails."""
    reply = httpx.post(
        f"{cluster.gateway}/models/{model}",
        headers={"accept": "image/png"} | ({"lora": lora} if lora else {}),
        json={"inputs": "a red circle", "parameters": {"seed": seed}},
        timeout=60,
    )
    assert not check or reply.status_code == 200, f"{model}: {reply.status_code} {reply.text[:500]}"
    return Image(reply.status_code, reply.content, reply.headers)


def is_made_by(cluster: Cluster, model: str, sha256: str) -> bool:
    """Whether an image comes, and this adapter file made it.

    A connection that is refused or cut is a no, not a failure: kube-proxy hears of a new gateway pod some time after
    `kubectl rollout status` has seen it.
    """
    try:
        image = generate(cluster, model, check=False)
    except httpx.TransportError:
        return False
    return image.status == 200 and image.adapters[0]["sha256"] == sha256
