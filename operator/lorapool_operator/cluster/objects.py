"""The objects of a pool in the API server: applied when they differ from what was applied, or drifted since."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from lorapool_operator.metrics import Metrics
from lorapool_operator.seen.views import DeploymentView

Manifest = dict[str, Any]


class Applies(Protocol):
    """What applies a manifest; returns the object as it is then. Raises: ApiError."""

    async def apply(self, manifest: Manifest) -> Manifest: ...


class Objects:
    """Remembers what was applied for one pool.

    A Deployment is watched: its generation moves when anybody changes its spec, so the generation that our own apply
    returned tells drift from rest. The small objects are not watched (that would need more permissions): `refresh`
    applies them again now and then, which changes nothing where nothing drifted.
    """

    def __init__(self, kube: Applies, metrics: Metrics) -> None:
        self._kube = kube
        self._metrics = metrics
        self._applied: dict[str, str] = {}
        self._generation: tuple[str, int] | None = None

    def refresh(self) -> None:
        """Have everything applied anew by the next pass."""
        self._applied.clear()

    async def apply(self, manifests: Sequence[Manifest], deployment: DeploymentView | None) -> None:
        """Raises: ApiError. Applies in the given order: what pods need comes before the Deployment."""
        for manifest in manifests:
            digest = manifest_hash(manifest)
            if self._is_applied(manifest, digest, deployment):
                continue
            written = await self._kube.apply(manifest)
            self._metrics.writes.labels("apply").inc()
            self._applied[_name(manifest)] = digest
            if manifest["kind"] == "Deployment":
                meta = written["metadata"]
                self._generation = (meta["uid"], meta.get("generation", 0))

    def _is_applied(self, manifest: Manifest, digest: str, deployment: DeploymentView | None) -> bool:
        if self._applied.get(_name(manifest)) != digest:
            return False
        if manifest["kind"] != "Deployment" or self._generation is None:
            return True
        if deployment is None:
            return False  # deleted, or applied so recently that the watch has not seen it: applying again is harmless
        uid, generation = self._generation
        # A view that is older than our own apply says nothing about drift.
        return deployment.uid == uid and deployment.generation <= generation


def manifest_hash(manifest: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(manifest, sort_keys=True).encode()).hexdigest()[:32]


def _name(manifest: Manifest) -> str:
    return f"{manifest['kind']}/{manifest['metadata']['name']}"
