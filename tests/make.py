"""Builders of the objects that tests are about: everything that a test does not say has a plain value."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from lorapool_api.kinds.adapter import Adapter
from lorapool_api.kinds.pool import Pool
from lorapool_api.names import ADAPTER_KIND, API_VERSION, POOL_KIND

EPOCH = datetime(2026, 1, 1, tzinfo=UTC)
Manifest = dict[str, Any]


def pool_manifest(name: str = "shapes", namespace: str = "default", **spec: Any) -> Manifest:
    """A `BaseModelPool` with the stub engine; `spec` replaces top-level fields of the spec."""
    plain: Manifest = {
        "model": {"source": {"path": "/models/shapes-xl"}, "dtype": "float32"},
        "runtime": {"engine": "stub", "device": "cpu"},
    }
    return {
        "apiVersion": API_VERSION,
        "kind": POOL_KIND,
        "metadata": {"name": name, "namespace": namespace},
        "spec": plain | spec,
    }


def adapter_manifest(
    name: str = "pixel", namespace: str = "default", pool: str = "shapes", path: str | None = None, **spec: Any
) -> Manifest:
    """A `LoraAdapter` of that pool from a `path` source; `spec` replaces top-level fields of the spec."""
    plain: Manifest = {"poolRef": {"name": pool}, "source": {"path": path or f"/adapters/{name}.safetensors"}}
    return {
        "apiVersion": API_VERSION,
        "kind": ADAPTER_KIND,
        "metadata": {"name": name, "namespace": namespace},
        "spec": plain | spec,
    }


def _observed(manifest: Manifest, age_s: float, **metadata: Any) -> Manifest:
    """The manifest as an API server would return it, created `age_s` seconds before a fixed moment."""
    name, namespace = manifest["metadata"]["name"], manifest["metadata"]["namespace"]
    given = {
        "uid": f"uid-{namespace}-{name}",
        "generation": 1,
        "creationTimestamp": (EPOCH - timedelta(seconds=age_s)).isoformat(),
    }
    return manifest | {"metadata": manifest["metadata"] | given | metadata}


def pool(name: str = "shapes", namespace: str = "default", age_s: float = 0, **spec: Any) -> Pool:
    """A `BaseModelPool` as it was read."""
    return Pool.model_validate(_observed(pool_manifest(name, namespace, **spec), age_s))


def adapter(
    name: str = "pixel",
    namespace: str = "default",
    age_s: float = 0,
    metadata: Mapping[str, Any] | None = None,
    **spec: Any,
) -> Adapter:
    """A `LoraAdapter` as it was read."""
    return Adapter.model_validate(_observed(adapter_manifest(name, namespace, **spec), age_s, **(metadata or {})))


def safetensors_header(
    tensors: Mapping[str, tuple[int, ...]], dtype: str = "F32", metadata: Mapping[str, str] | None = None
) -> tuple[bytes, int]:
    """(JSON of a header, size of the whole file) for tensors of these shapes, without their bytes."""
    width = {"F32": 4, "F16": 2, "BF16": 2, "I8": 1}[dtype]
    entries: Manifest = {} if metadata is None else {"__metadata__": dict(metadata)}
    position = 0
    for name, shape in tensors.items():
        size = width
        for d in shape:
            size *= d
        entries[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [position, position + size]}
        position += size
    text = json.dumps(entries).encode()
    return text, 8 + len(text) + position
