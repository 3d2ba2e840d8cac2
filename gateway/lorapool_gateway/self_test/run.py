"""One run of the self-test: apply, wait, ask for an image, remove."""

import asyncio
import json
from collections.abc import Mapping
from typing import Any, Final, Protocol

import httpx
import structlog

from lorapool_common.http.bodies import TooLarge, read_at_most
from lorapool_common.kube.errors import ApiError
from lorapool_common.kube.resources import ADAPTERS, POOLS, Manifest, Resource, resource_of
from lorapool_gateway.self_test.objects import SelfTestObjects, adapter_sha256

log = structlog.get_logger(__name__)

_PAUSE_S: Final = 0.5
_ASK_S: Final = 60.0
_MAX_REPLY_BYTES: Final = 1 << 20
_PNG: Final = b"\x89PNG\r\n\x1a\n"


class SelfTestFailed(Exception):
    """The installation makes no image; the message says what was last seen."""


class ObjectStore(Protocol):
    """What a self-test does with the API server."""

    async def apply(self, manifest: Manifest) -> Manifest: ...

    async def get(self, resource: Resource, namespace: str | None, name: str) -> Manifest: ...

    async def delete(self, resource: Resource, namespace: str | None, name: str) -> Manifest: ...


async def self_test(kube: ObjectStore, gateway: httpx.AsyncClient, objects: SelfTestObjects, within_s: float) -> None:
    """Have the gateway make an image with the adapter, and leave nothing behind.

    Args:
        gateway: a client whose base URL is the gateway's, with a key where it wants one.
        within_s: the time for all but the removal.

    Raises:
        SelfTestFailed: the time was over, or the image was not made by the adapter.
        ApiError: an object was refused.
    """
    last_seen = "nothing"
    try:
        async with asyncio.timeout(within_s):
            for manifest in objects.manifests:
                await kube.apply(manifest)
            for resource, name in ((POOLS, objects.name), (ADAPTERS, objects.adapter)):
                while last_seen := await _obstacle(kube, resource, objects.namespace, name):  # noqa: ASYNC110
                    await asyncio.sleep(_PAUSE_S)
            last_seen = "no answer of the gateway"
            await _ask(gateway, objects)
    except TimeoutError as error:
        raise SelfTestFailed(f"not done after {within_s:g} s: {last_seen}") from error
    finally:
        await _remove(kube, objects)


async def _obstacle(kube: ObjectStore, resource: Resource, namespace: str, name: str) -> str:
    """Why the object is not Ready; empty where it is."""
    found = await kube.get(resource, namespace, name)
    conditions = (found.get("status") or {}).get("conditions") or ()
    ready: Mapping[str, Any] = next((c for c in conditions if c.get("type") == "Ready"), {})
    if ready.get("status") == "True":
        return ""
    said = f"{ready.get('reason')}: {ready.get('message')}" if ready else "no condition: does the operator run?"
    return f"{resource.kind} {namespace}/{name}: {said}"


async def _ask(gateway: httpx.AsyncClient, objects: SelfTestObjects) -> None:
    body = {"inputs": "a lighthouse", "parameters": {"seed": 1}}
    path = f"/models/{objects.namespace}/{objects.adapter}"
    try:
        async with gateway.stream("POST", path, json=body, headers={"accept": "image/png"}, timeout=_ASK_S) as reply:
            content = await read_at_most(reply.aiter_raw(), _MAX_REPLY_BYTES)
    except (httpx.HTTPError, TooLarge) as error:
        raise SelfTestFailed(f"the gateway at {gateway.base_url}: {error!r}") from error
    if reply.status_code != httpx.codes.OK or not content.startswith(_PNG):
        raise SelfTestFailed(f"the gateway answers {reply.status_code}: {content[:500].decode(errors='replace')}")
    made_by = [adapter.get("sha256") for adapter in json.loads(reply.headers["x-lorapool-adapters"])]
    if made_by != [adapter_sha256()]:
        raise SelfTestFailed(f"the image was made by {made_by}, not by {adapter_sha256()}")
    log.info("an image was made", pod=reply.headers.get("x-lorapool-pod"), size_bytes=len(content))


async def _remove(kube: ObjectStore, objects: SelfTestObjects) -> None:
    for manifest in reversed(objects.manifests):
        name = manifest["metadata"]["name"]
        try:
            await kube.delete(resource_of(manifest), objects.namespace, name)
        except ApiError as error:
            if not error.is_gone:
                log.warning("an object stays behind", kind=manifest["kind"], name=name, error=str(error))
