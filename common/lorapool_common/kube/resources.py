"""Kinds as they stand in addresses."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final
from urllib.parse import quote

from lorapool_api import names

Manifest = dict[str, Any]


@dataclass(frozen=True)
class Resource:
    """A kind: how its group, version and plural stand in addresses, and how manifests call it."""

    group: str
    version: str
    plural: str
    kind: str

    @property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def root(self) -> str:
        """The address of all kinds of the group and version."""
        return f"/apis/{self.api_version}" if self.group else f"/api/{self.version}"

    def path(self, namespace: str | None, name: str | None = None, subresource: str | None = None) -> str:
        """The address of an object, or of all of them; `namespace` is None for all and where the kind has none."""
        parts = [self.root, *(("namespaces", quote(namespace, safe="")) if namespace else ()), self.plural]
        parts += [quote(part, safe="") for part in (name, subresource) if part]
        return "/".join(parts)


@dataclass(frozen=True)
class Selection:
    """Objects of a kind: of one namespace or of all, by selectors of labels and fields."""

    resource: Resource
    namespace: str | None = None
    labels: str | None = None
    fields: str | None = None

    @property
    def path(self) -> str:
        return self.resource.path(self.namespace)

    def within(self, namespace: str | None) -> "Selection":
        """The same of one namespace."""
        return replace(self, namespace=namespace)

    @property
    def query(self) -> dict[str, str]:
        asked = {"labelSelector": self.labels, "fieldSelector": self.fields}
        return {name: text for name, text in asked.items() if text}


NODES: Final = Resource("", "v1", "nodes", "Node")
NAMESPACES: Final = Resource("", "v1", "namespaces", "Namespace")
PODS: Final = Resource("", "v1", "pods", "Pod")
SERVICES: Final = Resource("", "v1", "services", "Service")
SECRETS: Final = Resource("", "v1", "secrets", "Secret")
CONFIG_MAPS: Final = Resource("", "v1", "configmaps", "ConfigMap")
SERVICE_ACCOUNTS: Final = Resource("", "v1", "serviceaccounts", "ServiceAccount")
CORE_EVENTS: Final = Resource("", "v1", "events", "Event")
EVENTS: Final = Resource("events.k8s.io", "v1", "events", "Event")
DEPLOYMENTS: Final = Resource("apps", "v1", "deployments", "Deployment")
REPLICA_SETS: Final = Resource("apps", "v1", "replicasets", "ReplicaSet")
BUDGETS: Final = Resource("policy", "v1", "poddisruptionbudgets", "PodDisruptionBudget")
NETWORK_POLICIES: Final = Resource("networking.k8s.io", "v1", "networkpolicies", "NetworkPolicy")
LEASES: Final = Resource("coordination.k8s.io", "v1", "leases", "Lease")
ENDPOINT_SLICES: Final = Resource("discovery.k8s.io", "v1", "endpointslices", "EndpointSlice")
POOLS: Final = Resource(names.GROUP, names.VERSION, names.POOL_PLURAL, names.POOL_KIND)
ADAPTERS: Final = Resource(names.GROUP, names.VERSION, names.ADAPTER_PLURAL, names.ADAPTER_KIND)

_KNOWN: Final = (
    *(NODES, NAMESPACES, PODS, SERVICES, SECRETS, CONFIG_MAPS, SERVICE_ACCOUNTS, CORE_EVENTS, EVENTS),
    *(DEPLOYMENTS, REPLICA_SETS, BUDGETS, NETWORK_POLICIES, LEASES, ENDPOINT_SLICES, POOLS, ADAPTERS),
)
_BY_KIND: Final = {f"{resource.api_version} {resource.kind}": resource for resource in _KNOWN}


def resource_of(manifest: Mapping[str, Any]) -> Resource:
    """The kind of a manifest. Raises KeyError where it is none of the known ones."""
    return _BY_KIND[f"{manifest['apiVersion']} {manifest['kind']}"]
