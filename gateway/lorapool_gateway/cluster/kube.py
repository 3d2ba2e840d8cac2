"""Reads from the API server: lists and watches as plain manifests.

The generated clients parse every field of a Pod; the gateway needs six of them. So the calls are made by path, with
the client's own transport, certificates and tokens.
"""

import json
import os
from collections.abc import AsyncIterator
from typing import Any

from aiohttp import ClientTimeout
from kubernetes.aio import client, config
from kubernetes.aio.config.config_exception import ConfigException

from lorapool_api.names import ADAPTER_PLURAL, GROUP, POOL_LABEL, POOL_PLURAL, VERSION
from lorapool_gateway.cluster.directory import Manifest, ObjectKind

# A watch ends by itself after this time and everything is listed anew: a list shows what a watch had missed.
WATCH_SECONDS = 300
# The API server sends a bookmark about once a minute; a watch that is silent for longer is dead.
SILENCE_SECONDS = 90
PAGE_ITEMS = 500

__all__ = ["ConfigException", "Kube", "KubeError", "connect"]

_PLURALS = {ObjectKind.POOL: POOL_PLURAL, ObjectKind.ADAPTER: ADAPTER_PLURAL, ObjectKind.POD: "pods"}


class KubeError(Exception):
    """The API server refused, with an HTTP status."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(f"{status}: {message}")
        self.status = status


async def connect() -> client.ApiClient:
    """A client for the cluster that this pod runs in, else for the one that `KUBECONFIG` names."""
    configuration = client.Configuration()
    if os.environ.get("KUBERNETES_SERVICE_HOST"):
        config.load_incluster_config(client_configuration=configuration)
    else:
        await config.load_kube_config(client_configuration=configuration)
    return client.ApiClient(configuration)


class Kube:
    """Lists and watches of one kind in one namespace or in all."""

    def __init__(self, api: client.ApiClient) -> None:
        self._api = api

    async def list(self, kind: ObjectKind, namespace: str | None) -> tuple[list[Manifest], str]:
        """All objects and the resource version to watch from."""
        items: list[Manifest] = []
        cursor = ""
        while True:
            query = {"limit": str(PAGE_ITEMS), **({"continue": cursor} if cursor else {})}
            reply = await self._get(kind, namespace, query, ClientTimeout(total=30))
            page = json.loads(await reply.read())
            items += page["items"]
            cursor = page["metadata"].get("continue", "")
            if not cursor:
                return items, page["metadata"]["resourceVersion"]

    async def watch(self, kind: ObjectKind, namespace: str | None, version: str) -> AsyncIterator[tuple[str, Manifest]]:
        """(ADDED | MODIFIED | DELETED, object) for each change after the version, until the watch ends."""
        query = {
            "watch": "true",
            "resourceVersion": version,
            "allowWatchBookmarks": "true",
            "timeoutSeconds": str(WATCH_SECONDS),
        }
        reply = await self._get(
            kind, namespace, query, ClientTimeout(total=None, sock_connect=10, sock_read=SILENCE_SECONDS)
        )
        async with reply.response:
            async for line in _lines(reply.response.content.iter_any()):
                event = json.loads(line)
                if event["type"] == "ERROR":
                    raise KubeError(event["object"].get("code", 500), event["object"].get("message", ""))
                if event["type"] != "BOOKMARK":
                    yield event["type"], event["object"]

    async def _get(
        self, kind: ObjectKind, namespace: str | None, query: dict[str, str], patience: ClientTimeout
    ) -> Any:
        if kind is ObjectKind.POD:
            query = query | {"labelSelector": POOL_LABEL}
        call = await self._api.param_serialize(
            "GET",
            _path(kind, namespace),
            query_params=list(query.items()),
            header_params={"Accept": "application/json"},
            auth_settings=["BearerToken"],
        )
        reply = await self._api.rest_client.request(*call[:3], _request_timeout=patience)
        if reply.status != 200:
            raise KubeError(reply.status, (await reply.read()).decode(errors="replace")[:500])
        return reply


def _path(kind: ObjectKind, namespace: str | None) -> str:
    root = "/api/v1" if kind is ObjectKind.POD else f"/apis/{GROUP}/{VERSION}"
    where = f"/namespaces/{namespace}" if namespace else ""
    return f"{root}{where}/{_PLURALS[kind]}"


async def _lines(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Whole lines, however long: an object may be larger than the transport's buffer."""
    rest: list[bytes] = []
    async for chunk in chunks:
        *ends, last = chunk.split(b"\n")
        for end in ends:
            line = b"".join([*rest, end])
            rest = []
            if line:
                yield line
        rest.append(last)
