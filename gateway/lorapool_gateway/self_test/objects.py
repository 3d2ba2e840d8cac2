"""What the self-test applies: a pool of the stub engine, which needs no GPU, an adapter, a ConfigMap with its file."""

import base64
import json
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Final

from lorapool_api import names
from lorapool_common.kube.resources import Manifest

_FILE: Final = "self-test.safetensors"
_FOLDER: Final = "/adapters"
_VOLUME: Final = "adapters"
_LABELS: Final = {names.COMPONENT_LABEL: "self-test"}
_MODULE: Final = "unet.down_blocks.1.attentions.0.transformer_blocks.0.attn2.to_k"
_SHAPES: Final = {"lora_A": (4, 32), "lora_B": (16, 4)}


@dataclass(frozen=True)
class SelfTestObjects:
    """All objects of one run.

    Attributes:
        name: of the pool and of the ConfigMap; the adapter has another, since both can be asked for by name.
        placement: of the pool's pod: `nodeSelector`, `tolerations` and whatever else a pod's spec has.
    """

    name: str
    namespace: str
    placement: Mapping[str, Any]

    @property
    def manifests(self) -> tuple[Manifest, Manifest, Manifest]:
        """The ConfigMap with the file, the pool, the adapter; in the order to apply them."""
        return self._file(), self._pool(), self._adapter()

    @property
    def adapter(self) -> str:
        return f"{self.name}-lora"

    def _file(self) -> Manifest:
        data = {_FILE: base64.b64encode(adapter_file()).decode()}
        return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": self._metadata(self.name), "binaryData": data}

    def _pool(self) -> Manifest:
        mount = {"name": _VOLUME, "mountPath": _FOLDER}
        pod = {
            **self.placement,
            "containers": [{"name": names.RUNTIME_CONTAINER, "volumeMounts": [mount]}],
            "volumes": [{"name": _VOLUME, "configMap": {"name": self.name}}],
        }
        spec = {
            "model": {"source": {"path": "/models/self-test"}, "dtype": "float32"},
            "runtime": {"engine": "stub", "device": "cpu", "podTemplate": {"spec": pod}},
            "adapters": {"pathVolumes": [_VOLUME]},
            "serving": {"defaults": {"width": 64, "height": 64, "steps": 1}},
        }
        metadata = self._metadata(self.name)
        return {"apiVersion": names.API_VERSION, "kind": names.POOL_KIND, "metadata": metadata, "spec": spec}

    def _adapter(self) -> Manifest:
        spec = {"poolRef": {"name": self.name}, "source": {"path": f"{_FOLDER}/{_FILE}"}}
        metadata = self._metadata(self.adapter)
        return {"apiVersion": names.API_VERSION, "kind": names.ADAPTER_KIND, "metadata": metadata, "spec": spec}

    def _metadata(self, name: str) -> Manifest:
        return {"name": name, "namespace": self.namespace, "labels": _LABELS}


def adapter_file() -> bytes:
    """A LoRA of one module in the layout of diffusers, the same in every run."""
    header: dict[str, Any] = {}
    values: list[float] = []
    for name, (rows, columns) in _SHAPES.items():
        begin = 4 * len(values)
        values += [0.01 * (index % 7 - 3) for index in range(rows * columns)]
        offsets = [begin, 4 * len(values)]
        header[f"{_MODULE}.{name}.weight"] = {"dtype": "F32", "shape": [rows, columns], "data_offsets": offsets}
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + struct.pack(f"<{len(values)}f", *values)


def adapter_sha256() -> str:
    """Of that file: replies say it of the adapter that made an image."""
    return sha256(adapter_file()).hexdigest()
