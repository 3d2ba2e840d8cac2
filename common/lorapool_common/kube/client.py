"""A client of the Kubernetes API that takes and gives plain manifests.

On aiohttp and not on the `kubernetes` package: its generated models are 71 MB of source, and some of its methods
return None for an object that they created, or refuse to send a Lease.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, Callable
from http import HTTPStatus
from types import TracebackType
from typing import Final, Self

import aiohttp
from pydantic_core import to_json

from lorapool_common.kube.access import ClusterAccess
from lorapool_common.kube.calls.api_call import ObserveCall, no_observer
from lorapool_common.kube.current_access import CurrentAccess, Reload
from lorapool_common.kube.errors import ApiError
from lorapool_common.kube.kubeconfig import load_access
from lorapool_common.kube.replies import Listing, parse_object, refusal
from lorapool_common.kube.resources import Manifest, Resource, Selection, resource_of
from lorapool_common.kube.transport import Query, Transport
from lorapool_common.kube.watch_events import MAX_LINE_BYTES, WatchEvent, watch_events

JSON: Final = "application/json"
APPLY_PATCH: Final = "application/apply-patch+yaml"
MERGE_PATCH: Final = "application/merge-patch+json"
STRATEGIC_PATCH: Final = "application/strategic-merge-patch+json"
METADATA_ONLY: Final = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"

TIMEOUT_S: Final = 15.0
WRITES_AT_ONCE: Final = 16
PAGE_ITEMS: Final = 500
# A watch ends by itself after this time.
WATCH_S: Final = 300
# The API server sends a bookmark about once a minute: a watch that is silent for longer is dead.
SILENCE_S: Final = 90.0


class Kube:
    """A connection to the API server. All its methods raise ApiError.

    Args:
        field_manager: who is said to own the fields that are patched and applied; None: by the user agent.
        reload: reads the credentials anew when they are old or refused: tokens are renewed.
        writes_at_once: the most writes that wait for an answer.
        silence_s: how long a watch may bring nothing.
        observe: is told of each call that is over.
    """

    def __init__(
        self,
        access: ClusterAccess,
        *,
        field_manager: str | None = None,
        reload: Reload | None = None,
        timeout_s: float = TIMEOUT_S,
        writes_at_once: int = WRITES_AT_ONCE,
        silence_s: float = SILENCE_S,
        max_line_bytes: int = MAX_LINE_BYTES,
        clock: Callable[[], float] = time.monotonic,
        observe: ObserveCall = no_observer,
    ) -> None:
        self._manager = {"fieldManager": field_manager} if field_manager else {}
        self._transport = Transport(CurrentAccess(access, reload, clock), observe, clock)
        self._timeout = aiohttp.ClientTimeout(total=timeout_s)
        self._watch_timeout = aiohttp.ClientTimeout(total=None, sock_connect=timeout_s, sock_read=silence_s)
        self._writes = asyncio.Semaphore(writes_at_once)
        self._max_line_bytes = max_line_bytes

    @classmethod
    async def connect(cls, field_manager: str | None = None, observe: ObserveCall = no_observer) -> Self:
        """In a pod: as its ServiceAccount. Elsewhere: as the kubeconfig says. Raises: AccessError."""
        return cls(await load_access(), field_manager=field_manager, reload=load_access, observe=observe)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: BaseException | type[BaseException] | TracebackType | None) -> None:
        await self.close()

    async def close(self) -> None:
        await self._transport.close()

    async def get(self, resource: Resource, namespace: str | None, name: str) -> Manifest:
        return await self.request("GET", resource.path(namespace, name))

    async def list(self, resource: Resource, namespace: str | None = None, labels: str | None = None) -> list[Manifest]:
        """All objects of a kind in a namespace, or in all."""
        return (await self.listing(Selection(resource, namespace, labels))).items

    async def listing(self, selection: Selection) -> Listing:
        """All selected objects."""
        items: list[Manifest] = []
        version = ""
        async for page in self.pages(selection):
            items += page.items
            version = page.version
        return Listing(items, version)

    async def pages(self, selection: Selection) -> AsyncGenerator[Listing, None]:
        """All selected objects, some at a time, so that neither side holds thousands at once."""
        query = selection.query | {"limit": str(PAGE_ITEMS)}
        following: str | None = ""
        while following is not None:
            page = await self.request("GET", selection.path, query | ({"continue": following} if following else {}))
            metadata = page.get("metadata") or {}
            following = metadata.get("continue") or None
            yield Listing(page.get("items") or [], str(metadata.get("resourceVersion", "")))

    async def watch(self, selection: Selection, version: str) -> AsyncGenerator[WatchEvent, None]:
        """What changes after the version, until the watch ends. Raises: ApiError."""
        asked = {"watch": "true", "resourceVersion": version, "allowWatchBookmarks": "true"}
        query = selection.query | asked | {"timeoutSeconds": str(WATCH_S)}
        async with self._transport.open("GET", selection.path, query, timeout=self._watch_timeout) as reply:
            if reply.status != 200:
                raise refusal(reply.status, await reply.read(), reply.headers)
            async for event in watch_events(reply.content.iter_any(), self._max_line_bytes):
                yield event

    async def serves(self, resource: Resource) -> bool:
        """Whether the API server knows the kind."""
        try:
            found = await self.request("GET", resource.root)
        except ApiError as error:
            if error.is_gone:
                return False
            raise
        return any(r.get("name") == resource.plural for r in found.get("resources") or ())

    async def create(
        self,
        resource: Resource,
        namespace: str | None,
        body: Manifest,
        name: str | None = None,
        subresource: str | None = None,
    ) -> Manifest:
        """Create an object; with a name and a subresource: that of an object, for example `token` or `eviction`."""
        return await self.request("POST", resource.path(namespace, name, subresource), body=body)

    async def replace(
        self, resource: Resource, namespace: str | None, name: str, body: Manifest, subresource: str | None = None
    ) -> Manifest:
        """Refused with a conflict where the body has a version that is not the newest."""
        return await self.request("PUT", resource.path(namespace, name, subresource), body=body)

    async def apply(self, manifest: Manifest) -> Manifest:
        """Server-side apply: what the manifest says becomes so, whoever else said otherwise; nothing else changes."""
        meta = manifest["metadata"]
        path = resource_of(manifest).path(meta.get("namespace"), meta["name"])
        return await self.request("PATCH", path, self._manager | {"force": "true"}, manifest, APPLY_PATCH)

    async def look(self, resource: Resource, namespace: str, name: str) -> Manifest | None:
        """The metadata of an object that may be patched, also where it may not be read; None: there is none.

        A server-side apply of nothing, which is not carried out: it is answered with what is there, and with 201, or
        with what a new object would lack, where it would make one.
        """
        meta = {"namespace": namespace, "name": name}
        nothing = {"apiVersion": resource.api_version, "kind": resource.kind, "metadata": meta}
        query = {"dryRun": "All", "fieldManager": "look"}
        try:
            status, content = await self._send(
                "PATCH", resource.path(namespace, name), query, nothing, APPLY_PATCH, METADATA_ONLY
            )
        except ApiError as error:
            if error.is_invalid:
                return None
            raise
        found: Manifest | None = parse_object(content).get("metadata") if status == HTTPStatus.OK else None
        return found

    async def patch(
        self,
        resource: Resource,
        namespace: str | None,
        name: str,
        body: Manifest,
        subresource: str | None = None,
        content_type: str = MERGE_PATCH,
    ) -> Manifest:
        """A merge patch: null removes, lists are replaced. A strategic one merges lists by their keys."""
        path = resource.path(namespace, name, subresource)
        return await self.request("PATCH", path, self._manager, body, content_type)

    async def delete(
        self, resource: Resource, namespace: str | None, name: str, options: Manifest | None = None
    ) -> Manifest:
        """Delete an object; the options are those of `DeleteOptions`."""
        body = {"apiVersion": "v1", "kind": "DeleteOptions", **options} if options else None
        return await self.request("DELETE", resource.path(namespace, name), body=body)

    async def is_healthy(self, path: str = "/readyz") -> bool:
        """Whether the server says that it is well."""
        try:
            await self.text(path)
        except ApiError:
            return False
        return True

    async def text(self, path: str, query: Query | None = None) -> str:
        """An answer that is no JSON: logs of a pod, health."""
        _, content = await self._send("GET", path, query, None, JSON)
        return content.decode(errors="replace")

    async def request(
        self, method: str, path: str, query: Query | None = None, body: Manifest | None = None, content_type: str = JSON
    ) -> Manifest:
        """Any call that answers with an object."""
        _, content = await self._send(method, path, query, body, content_type)
        return parse_object(content)

    async def _send(
        self,
        method: str,
        path: str,
        query: Query | None,
        body: Manifest | None,
        content_type: str,
        accept: str = JSON,
    ) -> tuple[int, bytes]:
        """The status of a good answer, and what it holds."""
        data = None if body is None else to_json(body)
        async with (
            contextlib.nullcontext() if method == "GET" else self._writes,
            self._transport.open(
                method, path, query or {}, data, content_type, accept=accept, timeout=self._timeout
            ) as reply,
        ):
            content = await reply.read()
            if not 200 <= reply.status < 300:
                raise refusal(reply.status, content, reply.headers)
            return reply.status, content
