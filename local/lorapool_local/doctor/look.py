"""Reads of a cluster what the rules judge by; what this user may not read is said, and left out."""

from collections.abc import Awaitable, Iterable
from datetime import datetime
from typing import Final, Protocol

from lorapool_common.kube.errors import ApiError
from lorapool_common.kube.resources import ADAPTERS, DEPLOYMENTS, LEASES, PODS, POOLS, Resource
from lorapool_local.doctor.facts import ClusterFacts, Manifest, app
from lorapool_local.doctor.installation import CRDS, OPERATOR

_CRD: Final = Resource("apiextensions.k8s.io", "v1", "customresourcedefinitions", "CustomResourceDefinition")
_REVIEWS: Final = Resource("authorization.k8s.io", "v1", "subjectaccessreviews", "SubjectAccessReview")
_PARTS: Final = "app.kubernetes.io/name in (lorapool-operator, lorapool-gateway)"
_RUNTIME: Final = "lorapool.dev/pool"
_FORBIDDEN: Final = 403

# (group, resource, verbs): what the operator calls in each namespace that it watches.
RIGHTS: Final = (
    ("lorapool.dev", "basemodelpools", ("list", "watch")),
    ("lorapool.dev", "basemodelpools/status", ("patch",)),
    ("lorapool.dev", "loraadapters", ("list", "watch", "patch")),
    ("lorapool.dev", "loraadapters/status", ("patch",)),
    ("", "pods", ("list", "watch", "patch")),
    ("apps", "deployments", ("list", "watch", "create", "patch")),
    ("apps", "replicasets", ("list", "watch")),
    ("", "services", ("list", "watch", "create", "patch")),
    ("policy", "poddisruptionbudgets", ("list", "watch", "create", "patch")),
    ("events.k8s.io", "events", ("create",)),
)


class ReadsCluster(Protocol):
    """The API server. Raises: ApiError."""

    async def get(self, resource: Resource, namespace: str | None, name: str) -> Manifest: ...

    async def list(
        self, resource: Resource, namespace: str | None = None, labels: str | None = None
    ) -> list[Manifest]: ...

    async def create(self, resource: Resource, namespace: str | None, body: Manifest) -> Manifest: ...


class Look:
    """One look at a cluster, of one namespace or of all."""

    def __init__(self, kube: ReadsCluster, namespace: str | None) -> None:
        self._kube = kube
        self._namespace = namespace
        self._unreadable: list[str] = []

    async def facts(self, now: datetime) -> ClusterFacts:
        """All of it. Raises: ApiError, where the API server is not reached."""
        crds = {name: found for name in CRDS if (found := await self._crd(name)) is not _UNREAD}
        deployments = await self._all(DEPLOYMENTS, None, _PARTS)
        operators = [d for d in deployments if app(d) == OPERATOR]
        pods = [*await self._all(PODS, None, _PARTS), *await self._all(PODS, self._namespace, _RUNTIME)]
        leases = [lease for d in operators for lease in await self._leases(d)]
        are_served = all(crds.values())
        return ClusterFacts(
            now=now,
            crds=crds,
            deployments=tuple(deployments),
            pods=tuple(pods),
            leases=tuple(leases),
            denied=await self._denied(operators),
            pools=tuple(await self._all(POOLS, self._namespace)) if are_served else (),
            adapters=tuple(await self._all(ADAPTERS, self._namespace)) if are_served else (),
            unreadable=tuple(dict.fromkeys(self._unreadable)),
        )

    async def _crd(self, name: str) -> Manifest | None:
        try:
            return await self._kube.get(_CRD, None, name)
        except ApiError as error:
            if error.status == _FORBIDDEN:
                self._unreadable.append(_CRD.plural)
                return _UNREAD
            if error.is_gone:
                return None
            raise

    async def _all(self, resource: Resource, namespace: str | None, labels: str | None = None) -> list[Manifest]:
        return await self._readable(self._kube.list(resource, namespace, labels), resource.plural)

    async def _leases(self, operator: Manifest) -> list[Manifest]:
        return await self._all(LEASES, operator["metadata"]["namespace"], f"app.kubernetes.io/name={OPERATOR}")

    async def _readable(self, asked: Awaitable[list[Manifest]], what: str) -> list[Manifest]:
        try:
            return await asked
        except ApiError as error:
            if error.status != _FORBIDDEN and not error.is_gone:
                raise
            if error.status == _FORBIDDEN:
                self._unreadable.append(what)
            return []

    async def _denied(self, operators: Iterable[Manifest]) -> tuple[str, ...] | None:
        """What the accounts of the operators may not do. None where this user may not ask, or there is no operator."""
        denied: list[str] = []
        asked = False
        for operator in operators:
            for namespace in _watched(operator):
                for group, resource, verbs in RIGHTS:
                    for verb in verbs:
                        allowed = await self._may(operator, namespace, group, resource, verb)
                        if allowed is None:
                            return None
                        asked = True
                        if not allowed:
                            where = f" in {namespace}" if namespace else ""
                            denied.append(f"{verb} {resource}{where}")
        return tuple(denied) if asked else None

    async def _may(self, operator: Manifest, namespace: str, group: str, resource: str, verb: str) -> bool | None:
        account = operator["spec"]["template"]["spec"].get("serviceAccountName", "default")
        plural, _, subresource = resource.partition("/")
        attributes = {"verb": verb, "group": group, "resource": plural, "subresource": subresource}
        spec = {
            "user": f"system:serviceaccount:{operator['metadata']['namespace']}:{account}",
            "groups": ["system:serviceaccounts", "system:authenticated"],
            "resourceAttributes": {**attributes, "namespace": namespace},
        }
        body = {"apiVersion": _REVIEWS.api_version, "kind": _REVIEWS.kind, "spec": spec}
        try:
            return bool((await self._kube.create(_REVIEWS, None, body))["status"]["allowed"])
        except ApiError as error:
            if error.status != _FORBIDDEN:
                raise
            return None


_UNREAD: Final[Manifest] = {}


def _watched(operator: Manifest) -> list[str]:
    """The namespaces that it watches; one that is empty stands for all."""
    containers = operator["spec"]["template"]["spec"]["containers"]
    given = {row["name"]: row.get("value") or "" for c in containers for row in c.get("env") or ()}
    return [name for name in given.get("LORAPOOL_NAMESPACES", "").split(",") if name] or [""]
