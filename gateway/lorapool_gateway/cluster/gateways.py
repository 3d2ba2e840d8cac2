"""How many gateways share the requests: those behind the Service that are ready."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from lorapool_common.kube.resources import ENDPOINT_SLICES, Selection

# Kubernetes' label of the slices of a Service.
_SERVICE_LABEL: Final = "kubernetes.io/service-name"


def slices_of(namespace: str, service: str) -> Selection:
    """The EndpointSlices of the gateways' Service."""
    return Selection(ENDPOINT_SLICES, namespace, labels=f"{_SERVICE_LABEL}={service}")


class ReadyGateways:
    """The gateways that Services send requests to, as a watch brings them. One that is not there yet counts itself."""

    def __init__(self) -> None:
        self._slices: dict[str, frozenset[str]] = {}

    @property
    def count(self) -> int:
        """At least one: this one."""
        return max(1, len(frozenset().union(*self._slices.values())))

    def replace(self, objects: Sequence[Mapping[str, Any]]) -> None:
        self._slices = {_uid(manifest): frozenset(_ready(manifest)) for manifest in objects}

    def put(self, manifest: Mapping[str, Any]) -> None:
        self._slices[_uid(manifest)] = frozenset(_ready(manifest))

    def drop(self, manifest: Mapping[str, Any]) -> None:
        self._slices.pop(_uid(manifest), None)


def _uid(manifest: Mapping[str, Any]) -> str:
    return str(manifest["metadata"]["uid"])


def _ready(manifest: Mapping[str, Any]) -> Iterator[str]:
    """Names of pods: with two families of addresses each stands in two slices."""
    for endpoint in manifest.get("endpoints") or ():
        target = endpoint.get("targetRef") or {}
        # A condition that is not there counts as true, by the API.
        if (endpoint.get("conditions") or {}).get("ready") is not False and target.get("kind") == "Pod":
            yield str(target.get("name"))
