"""Artifacts in registries: the tag's manifest, the layer of weights, and its header."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager

import httpx
from pydantic import SecretStr

from lorapool_api.fetch.oci.access import MAX_TOKEN_ANSWER_BYTES, PullUnauthorized, RegistryAccess
from lorapool_api.fetch.oci.manifest import (
    ACCEPT,
    MAX_MANIFEST_BYTES,
    OciIndex,
    OciManifest,
    choose_layer,
    read_manifest,
)
from lorapool_api.fetch.oci.reference import OciReference
from lorapool_api.fetch.policy import SourceRefused
from lorapool_api.kinds.artifacts import OciSource
from lorapool_api.kinds.conditions import Reason
from lorapool_operator.sources.artifacts.found import FoundFile
from lorapool_operator.sources.header import FIRST_BYTES, header_of
from lorapool_operator.sources.http import PublicClient, small_body


class OciClient:
    """Registries, each asked as the challenge of its repository asks for."""

    def __init__(self, client: PublicClient, hosts: tuple[str, ...], first_bytes: int = FIRST_BYTES) -> None:
        """`hosts` are those of `lorapool_api.fetch.hosts`; `first_bytes` of a layer are asked for at first."""
        self._client = client
        self._hosts = hosts
        self._first_bytes = first_bytes

    async def find(self, source: OciSource, credentials: Mapping[str, SecretStr] | None = None) -> FoundFile:
        """The weights file that the source means today, and its header. Raises: SourceRefused, FactsError."""
        reference = OciReference.parse(source.ref)
        access = RegistryAccess(reference, self._hosts, credentials)
        manifest = await self._manifest(access, reference)
        layer = choose_layer(manifest, source.file, source.ref)
        shown = f"{source.ref}: {layer.name}"
        header = await header_of(
            lambda headers: self._opened(access, f"blobs/{layer.digest}", "layer", headers), shown, self._first_bytes
        )
        if header.size_bytes != layer.size_bytes:
            message = f"{shown} has {header.size_bytes} bytes; the manifest says {layer.size_bytes}"
            raise SourceRefused(Reason.CHECKSUM_MISMATCH, message)
        return FoundFile(manifest.digest, layer.name, layer.sha256, header)

    async def _manifest(self, access: RegistryAccess, reference: OciReference) -> OciManifest:
        found = await self._one(access, reference)
        if isinstance(found, OciIndex):
            found = await self._one(access, reference.at(found.only))
        if isinstance(found, OciIndex):
            message = f"{reference} is a list of lists; name a manifest by its digest"
            raise SourceRefused(Reason.SOURCE_NOT_FOUND, message)
        return found

    async def _one(self, access: RegistryAccess, reference: OciReference) -> OciManifest | OciIndex:
        named, shown = reference.digest or reference.tag, str(reference)
        async with self._opened(access, f"manifests/{named}", "manifest", {"accept": ACCEPT}) as response:
            body = await small_body(response, MAX_MANIFEST_BYTES, shown)
        return await asyncio.to_thread(read_manifest, body, shown, reference.digest)

    @asynccontextmanager
    async def _opened(
        self, access: RegistryAccess, path: str, what: str, headers: Mapping[str, str]
    ) -> AsyncIterator[httpx.Response]:
        """The answer of the registry, which may first want to know who asks. Raises: SourceRefused."""
        async with AsyncExitStack() as stack:
            try:
                response = await stack.enter_async_context(self._client.opened(access.fetch(path, what), headers))
            except PullUnauthorized as error:
                await self._ask_for_token(access, error)
                response = await stack.enter_async_context(self._client.opened(access.fetch(path, what), headers))
            yield response

    async def _ask_for_token(self, access: RegistryAccess, refused: PullUnauthorized) -> None:
        fetch = access.challenged(refused)
        if fetch is None:
            return
        async with self._client.opened(fetch, {}) as response:
            access.granted(await small_body(response, MAX_TOKEN_ANSWER_BYTES, fetch.shown))
