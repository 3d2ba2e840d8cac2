"""Every name that more than one part must agree on: group, labels, objects, ports, paths."""

from typing import Final

GROUP: Final = "lorapool.dev"
VERSION: Final = "v1alpha1"
API_VERSION: Final = f"{GROUP}/{VERSION}"
POOL_KIND: Final = "BaseModelPool"
POOL_PLURAL: Final = "basemodelpools"
ADAPTER_KIND: Final = "LoraAdapter"
ADAPTER_PLURAL: Final = "loraadapters"

FIELD_MANAGER: Final = "lorapool-operator"
# Not the name in kopf's own settings: kopf removes a finalizer of that name where it finds one.
ADAPTER_FINALIZER: Final = f"{GROUP}/unregister"
# On a LoraAdapter: another value than before asks for a new look at its source, a branch that has moved for example.
REFRESH_ANNOTATION: Final = f"{GROUP}/refresh"
# On a pool or a LoraAdapter: the operator decides and reports, and changes nothing. `false` is as good as none.
PAUSED_ANNOTATION: Final = f"{GROUP}/paused"

# On a pod, of Kubernetes: the ReplicaSet controller takes those with the lowest first.
DELETION_COST_ANNOTATION: Final = "controller.kubernetes.io/pod-deletion-cost"

POOL_LABEL: Final = f"{GROUP}/pool"
NAME_LABEL: Final = "app.kubernetes.io/name"
INSTANCE_LABEL: Final = "app.kubernetes.io/instance"
COMPONENT_LABEL: Final = "app.kubernetes.io/component"
MANAGED_BY_LABEL: Final = "app.kubernetes.io/managed-by"
RUNTIME_APP: Final = "lorapool-runtime"
MANAGED_BY: Final = "lorapool-operator"

# Who signs calls to pods; keys are derived for each.
OPERATOR: Final = "operator"
GATEWAY: Final = "gateway"

RUNTIME_CONTAINER: Final = "runtime"
SERVING_PORT: Final = 8080
CONTROL_PORT: Final = 8081
SERVING_PORT_NAME: Final = "serving"
CONTROL_PORT_NAME: Final = "control"
# Of a gateway pod: health, metrics, and how many requests want which pool.
GATEWAY_HEALTH_PORT: Final = 8081

# Inside a runtime pod.
CACHE_DIR: Final = "/var/cache/lorapool"
CONTROL_TOKEN_DIR: Final = "/etc/lorapool/control"  # noqa: S105 -- a folder
CONTROL_TOKEN_KEY: Final = "token"  # noqa: S105 -- the key in the Secret, not a token
CONFIG_ENV: Final = "LORAPOOL_RUNTIME_CONFIG"

# A Service is named `<pool>-runtime` and a name of a Service has at most 63 characters.
MAX_POOL_NAME: Final = 50


def runtime_name(pool: str) -> str:
    """The Deployment, Service and PodDisruptionBudget of a pool."""
    return f"{pool}-runtime"


def full_name(namespace: str, name: str) -> str:
    """The name of a namespaced object that no other of its kind has: `namespace/name`."""
    return f"{namespace}/{name}"


def split_full_name(key: str) -> tuple[str, str]:
    """The inverse of `full_name`: (namespace, name)."""
    namespace, _, name = key.partition("/")
    return namespace, name


def version_key(adapter: str, digest: str) -> str:
    """The key in a catalog of a version that is not an adapter's first; no name of Kubernetes has an `@`."""
    return f"{adapter}@{digest}"


def adapter_of(key: str) -> str:
    """The key of the adapter that an entry of a catalog is a version of."""
    return key.partition("@")[0]


def digest_of(key: str) -> str | None:
    """The digest of a version's key; None: it is the first version."""
    return key.partition("@")[2] or None
