"""The API server: a few verbs on plain manifests.

Goes through `kubernetes.aio` for configuration, credentials and connections, but not through its generated methods:
some of those return None for an object that they created, or refuse to send a Lease.
"""

import asyncio
import json
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from os import environ
from typing import Any, Final, Self
from urllib.parse import quote

import aiohttp
from kubernetes.aio import config
from kubernetes.aio.client import ApiClient, Configuration

from lorapool_api import names
from lorapool_api.kinds.conditions import Reason
from lorapool_operator.seen.verdict import Verdict

Manifest = dict[str, Any]
Query = Sequence[tuple[str, str]]

APPLY: Final = "application/apply-patch+yaml"
MERGE: Final = "application/merge-patch+json"
TIMEOUT_S: Final = 15.0
WRITES_AT_ONCE: Final = 16
_TYPED_PATCH: Final = re.compile(r"^failed to create typed patch object \([^)]*\): ")
_SCHEMA_ERRORS: Final = ("field not declared in schema", "failed to create typed patch object")


class ApiError(Exception):
    """The API server said no, or nothing.

    Attributes:
        status: HTTP status; 0 where there was no answer.
        reason: the machine's word, for example `NotFound`, `Conflict`, `Invalid`.
        causes: more words of that kind.
    """

    def __init__(self, status: int, reason: str, message: str, causes: Collection[str] = ()) -> None:
        super().__init__(message)
        self.status = status
        self.reason = reason
        self.message = message
        self.causes = frozenset(causes)

    @property
    def is_gone(self) -> bool:
        return self.status == 404

    @property
    def is_conflict(self) -> bool:
        return self.status == 409

    @property
    def is_refusal(self) -> bool:
        """Whether the same request will be refused again: the object itself is wrong, or nothing can be created."""
        return self.status in (400, 413, 422) or self.is_schema_error or self.is_namespace_terminating

    @property
    def is_namespace_terminating(self) -> bool:
        """Whether it was a creation in a namespace that is being deleted, which nothing undoes."""
        return "NamespaceTerminating" in self.causes

    @property
    def is_schema_error(self) -> bool:
        """A field that the kind does not have, in an object that is applied: the API server calls that its own error.

        managedfields' typed-patch error is no API status, so it comes as 500 with only its text to tell it by.
        """
        return self.status == 500 and any(mark in self.message for mark in _SCHEMA_ERRORS)

    @property
    def verdict(self) -> Verdict | None:
        """What a condition says about it; None where it only passes by."""
        if self.is_schema_error:
            return Verdict(Reason.INVALID_SPEC, _in_words_of_the_pool(self.message))
        if self.status == 403:
            return Verdict(Reason.INTERNAL_ERROR, f"the API server does not allow it: {self.message}")
        if self.is_refusal:
            return Verdict(Reason.INVALID_SPEC, f"the API server refuses what the spec asks for: {self.message}")
        return None


def _in_words_of_the_pool(message: str) -> str:
    """`.spec.template` of a Deployment is what the pool has under `spec.runtime.podTemplate`."""
    what = _TYPED_PATCH.sub("", message).strip().replace(".spec.template.", "spec.runtime.podTemplate.")
    return f"the API server refuses what the spec asks for: {what}"


@dataclass(frozen=True)
class Resource:
    """A kind, as it stands in addresses."""

    group: str
    version: str
    plural: str

    def path(self, namespace: str | None, name: str | None = None, subresource: str | None = None) -> str:
        root = f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"
        parts = [root, *(("namespaces", quote(namespace, safe="")) if namespace else ()), self.plural]
        parts += [quote(part, safe="") for part in (name, subresource) if part]
        return "/".join(parts)


POOLS: Final = Resource(names.GROUP, names.VERSION, names.POOL_PLURAL)
ADAPTERS: Final = Resource(names.GROUP, names.VERSION, names.ADAPTER_PLURAL)
PODS: Final = Resource("", "v1", "pods")
NAMESPACES: Final = Resource("", "v1", "namespaces")
REPLICA_SETS: Final = Resource("apps", "v1", "replicasets")
DEPLOYMENTS: Final = Resource("apps", "v1", "deployments")
SERVICES: Final = Resource("", "v1", "services")
SECRETS: Final = Resource("", "v1", "secrets")
BUDGETS: Final = Resource("policy", "v1", "poddisruptionbudgets")
LEASES: Final = Resource("coordination.k8s.io", "v1", "leases")
EVENTS: Final = Resource("events.k8s.io", "v1", "events")

APPLIED: Final = {
    "Deployment": DEPLOYMENTS,
    "Service": SERVICES,
    "Secret": SECRETS,
    "PodDisruptionBudget": BUDGETS,
}


class Kube:
    """A connection to the API server."""

    def __init__(self, client: ApiClient) -> None:
        self._client = client
        self._writes = asyncio.Semaphore(WRITES_AT_ONCE)

    @classmethod
    async def connect(cls) -> Self:
        """In a pod: as its ServiceAccount. Elsewhere: as the kubeconfig says."""
        return cls(ApiClient(await load_configuration()))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._client.close()

    async def get(self, resource: Resource, namespace: str | None, name: str) -> Manifest:
        return await self._request("GET", resource.path(namespace, name))

    async def list(self, resource: Resource, namespace: str | None = None, labels: str | None = None) -> list[Manifest]:
        """All objects, in pages, so that neither side holds thousands at once."""
        items: list[Manifest] = []
        query: list[tuple[str, str]] = [("limit", "500"), *([("labelSelector", labels)] if labels else ())]
        page: tuple[tuple[str, str], ...] = ()
        while True:
            reply = await self._request("GET", resource.path(namespace), query=[*query, *page])
            items += reply.get("items") or ()
            following = (reply.get("metadata") or {}).get("continue")
            if not following:
                return items
            page = (("continue", following),)

    async def serves(self, resource: Resource) -> bool:
        """Whether the API server knows the kind."""
        try:
            found = await self._request("GET", f"/apis/{resource.group}/{resource.version}")
        except ApiError as error:
            if error.is_gone:
                return False
            raise
        return any(r.get("name") == resource.plural for r in found.get("resources") or ())

    async def create(self, resource: Resource, namespace: str | None, body: Manifest) -> Manifest:
        return await self._write("POST", resource.path(namespace), body, "application/json")

    async def replace(self, resource: Resource, namespace: str, name: str, body: Manifest) -> Manifest:
        return await self._write("PUT", resource.path(namespace, name), body, "application/json")

    async def apply(self, manifest: Manifest) -> Manifest:
        """Server-side apply: what the manifest says becomes so, whoever else said otherwise; nothing else changes."""
        meta = manifest["metadata"]
        path = APPLIED[manifest["kind"]].path(meta["namespace"], meta["name"])
        query = (("fieldManager", names.FIELD_MANAGER), ("force", "true"))
        return await self._write("PATCH", path, manifest, APPLY, query)

    async def patch(
        self, resource: Resource, namespace: str | None, name: str, body: Manifest, subresource: str | None = None
    ) -> Manifest:
        """Merge patch: null removes, lists are replaced."""
        path = resource.path(namespace, name, subresource)
        return await self._write("PATCH", path, body, MERGE, (("fieldManager", names.FIELD_MANAGER),))

    async def _write(self, method: str, path: str, body: Manifest, content_type: str, query: Query = ()) -> Manifest:
        async with self._writes:
            return await self._request(method, path, body, content_type, query)

    async def _request(
        self, method: str, path: str, body: Manifest | None = None, content_type: str = MERGE, query: Query = ()
    ) -> Manifest:
        reply = await self._send(method, path, body, content_type, query)
        if reply[0] == 401:  # a token file that was renewed: a kubeconfig is read once, so read it again
            self._client.configuration.api_key = (await load_configuration()).api_key
            reply = await self._send(method, path, body, content_type, query)
        status, text = reply
        parsed = _parse(text)
        if not 200 <= status < 300:
            raise ApiError(
                status, str(parsed.get("reason", status)), str(parsed.get("message") or text[:300]), _causes(parsed)
            )
        return parsed

    async def _send(
        self, method: str, path: str, body: Manifest | None, content_type: str, query: Query
    ) -> tuple[int, str]:
        try:
            prepared = await self._client.param_serialize(
                method,
                path,
                query_params=list(query),
                header_params={"Content-Type": content_type, "Accept": "application/json"},
                body=body,
                auth_settings=["BearerToken"],
            )
            response = await self._client.call_api(*prepared, _request_timeout=TIMEOUT_S)
            data: bytes = await response.read()
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise ApiError(0, "Unreachable", f"{type(error).__name__}: {error}") from error
        return response.status, data.decode(errors="replace")


def _causes(status: Manifest) -> Collection[str]:
    causes = (status.get("details") or {}).get("causes") or ()
    return [str(cause.get("reason")) for cause in causes]


def _parse(text: str) -> Manifest:
    try:
        parsed = json.loads(text)
    except ValueError:
        return {}
    return parsed if isinstance(parsed, dict) else {}


async def load_configuration() -> Configuration:
    """Address and credentials, read anew."""
    loaded = Configuration()
    # Looking for proxies and a netrc takes two threads per request; kopf does not look for them either. A proxy that
    # the kubeconfig names is used.
    loaded.client_session_kwargs = {"trust_env": False}
    if environ.get("KUBERNETES_SERVICE_HOST"):
        config.load_incluster_config(client_configuration=loaded)
    else:
        # Named here, because the library reads the variable only once, when it is imported.
        await config.load_kube_config(config_file=environ.get("KUBECONFIG"), client_configuration=loaded)
    return loaded


def merge_patch(old: Mapping[str, Any], new: Mapping[str, Any]) -> Manifest:
    """The merge patch that makes `old` into `new`; empty when they are equal."""
    gone: Manifest = dict.fromkeys(key for key in old if key not in new)
    changed = {key: _changed(old.get(key), value) for key, value in new.items() if old.get(key) != value}
    return gone | changed


def _changed(old: Any, new: Any) -> Any:
    return merge_patch(old, new) if isinstance(old, Mapping) and isinstance(new, Mapping) else new
