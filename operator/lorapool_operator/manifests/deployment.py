"""The Deployment of a pool: pods that each hold the whole base model."""

from dataclasses import dataclass
from typing import Final

from lorapool_api import names
from lorapool_api.kinds.pool import Pool
from lorapool_api.kinds.quantities import is_nothing
from lorapool_api.kinds.runtime import Cache, CacheEmptyDir, PodRollout
from lorapool_api.wire.config import TrustedKeys
from lorapool_operator.manifests.common import Manifest, labels, metadata, selector
from lorapool_operator.manifests.merge import merge
from lorapool_operator.manifests.runtime_config import runtime_config

USER_ID = 65532
# What a stopping pod needs besides its longest request: to be taken out of routing, and to write its state.
STOP_MARGIN_S = 15
# Of the merged template, as people know it.
TEMPLATE_PATH = "spec.runtime.podTemplate"
POOL_UID_ANNOTATION = f"{names.GROUP}/pool-uid"


NOBODY: Final = TrustedKeys()


@dataclass(frozen=True)
class Installation:
    """What the installation, not the pool, decides."""

    image: str
    hf_endpoint: str | None = None
    civitai_endpoint: str | None = None
    url_hosts: tuple[str, ...] = ()
    priority_class: str | None = None
    pull_secrets: tuple[str, ...] = ()
    traces_env: tuple[tuple[str, str], ...] = ()
    trusted: TrustedKeys = NOBODY


def deployment(pool: Pool, installation: Installation, *, unavailable: int = 0) -> Manifest:
    """The Deployment of the pool.

    Args:
        unavailable: how many old pods a rollout may take down before their successors run, where the pool does not
            say it itself. A new pod beside the old ones costs no request, so there are none by default; where no node
            has another GPU it would wait for ever.
    """
    rollout = pool.spec.runtime.rollout
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": metadata(pool, names.runtime_name(pool.metadata.name)),
        "spec": {
            "replicas": pool.spec.replicas,
            "selector": {"matchLabels": selector(pool)},
            "strategy": {"type": "RollingUpdate", "rollingUpdate": _rolling_update(rollout, unavailable)},
            "revisionHistoryLimit": 3,
            "progressDeadlineSeconds": rollout.progress_deadline_seconds,
            "template": pod_template(pool, installation),
        },
    }


def _rolling_update(rollout: PodRollout, unavailable: int) -> Manifest:
    given, least = rollout.max_unavailable, 1 if is_nothing(rollout.max_surge) else 0
    return {
        "maxSurge": rollout.max_surge,
        "maxUnavailable": max(least, unavailable) if given is None else given,
    }


def pod_template(pool: Pool, installation: Installation) -> Manifest:
    """What the operator builds, with the pool's podTemplate over it. Raises: MergeError."""
    return merge(built_template(pool, installation), pool.spec.runtime.pod_template or {}, TEMPLATE_PATH)


def built_template(pool: Pool, installation: Installation) -> Manifest:
    """What the operator builds."""
    return {
        # A pool that was deleted and created again has another token: its pods must start anew.
        "metadata": {"labels": labels(pool), "annotations": {POOL_UID_ANNOTATION: pool.metadata.uid}},
        "spec": _pod_spec(pool, installation),
    }


def _pod_spec(pool: Pool, installation: Installation) -> Manifest:
    return {
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": pool.spec.serving.request_timeout_seconds + STOP_MARGIN_S,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": USER_ID,
            "runAsGroup": USER_ID,
            "fsGroup": USER_ID,
            "fsGroupChangePolicy": "OnRootMismatch",
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [_container(pool, installation)],
        "volumes": [
            {"name": "tmp", "emptyDir": {}},
            {"name": "cache", **_cache_volume(pool.spec.runtime.cache)},
        ],
        **_of_the_installation(installation),
    }


def _of_the_installation(installation: Installation) -> Manifest:
    """What an installation that says nothing leaves out: its pods stay as they are."""
    found: Manifest = {}
    if installation.priority_class:
        found["priorityClassName"] = installation.priority_class
    if installation.pull_secrets:
        found["imagePullSecrets"] = [{"name": name} for name in installation.pull_secrets]
    return found


def _container(pool: Pool, installation: Installation) -> Manifest:
    container: Manifest = {
        "name": names.RUNTIME_CONTAINER,
        "image": pool.spec.runtime.image or installation.image,
        "args": ["runtime"],
        "env": _env(pool, installation),
        "ports": [
            {"name": names.SERVING_PORT_NAME, "containerPort": names.SERVING_PORT, "protocol": "TCP"},
            {"name": names.CONTROL_PORT_NAME, "containerPort": names.CONTROL_PORT, "protocol": "TCP"},
        ],
        **_probes(),
        # The last lines of a process that died say why; they end up in the pool's status.
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": [
            {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108 -- a volume of its own in the pod
            {"name": "cache", "mountPath": names.CACHE_DIR},
        ],
    }
    if pool.spec.runtime.resources is not None:
        container["resources"] = pool.spec.runtime.resources.manifest()
    return container


def _probes() -> Manifest:
    """Loading the base shows in readiness alone: a pod that downloads for an hour is healthy, and is not killed."""
    healthy = {"httpGet": {"path": "/healthz", "port": names.SERVING_PORT_NAME}, "timeoutSeconds": 5}
    ready = {"httpGet": {"path": "/readyz", "port": names.SERVING_PORT_NAME}, "timeoutSeconds": 5}
    return {
        # Importing torch from a cold disk takes a while: ten minutes until the port must answer.
        "startupProbe": {**healthy, "periodSeconds": 2, "failureThreshold": 300},
        "livenessProbe": {**healthy, "periodSeconds": 10, "failureThreshold": 6},
        "readinessProbe": {**ready, "periodSeconds": 2, "failureThreshold": 2},
    }


def _env(pool: Pool, installation: Installation) -> list[Manifest]:
    config = runtime_config(pool, installation.url_hosts, installation.trusted).model_dump_json()
    env: list[Manifest] = [
        {"name": names.CONFIG_ENV, "value": config},
        _from_field("POD_NAME", "metadata.name"),
        _from_field("POD_NAMESPACE", "metadata.namespace"),
        _from_field("POD_IP", "status.podIP"),
    ]
    hub = pool.spec.model.source.hub
    if hub is not None and hub.token_secret_ref is not None:
        env.append({"name": "HF_TOKEN", "valueFrom": {"secretKeyRef": hub.token_secret_ref.manifest()}})
    if installation.hf_endpoint:
        env.append({"name": "HF_ENDPOINT", "value": installation.hf_endpoint})
    if installation.civitai_endpoint:
        env.append({"name": "CIVITAI_ENDPOINT", "value": installation.civitai_endpoint})
    env += ({"name": name, "value": value} for name, value in installation.traces_env)
    return env


def _from_field(name: str, path: str) -> Manifest:
    return {"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}}


def _cache_volume(cache: Cache) -> Manifest:
    if cache.claim is not None:
        return {"persistentVolumeClaim": {"claimName": cache.claim.claim_name}}
    if cache.host_path is not None:
        return {"hostPath": {"path": cache.host_path.path, "type": "DirectoryOrCreate"}}
    return {"emptyDir": {"sizeLimit": (cache.empty_dir or CacheEmptyDir()).size_limit}}
