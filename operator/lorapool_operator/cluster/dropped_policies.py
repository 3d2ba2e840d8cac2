"""NetworkPolicies of pools that an installation does not want any more: one that stayed would go on refusing."""

from collections.abc import Iterable
from typing import Any, Protocol

import structlog

from lorapool_api.names import MANAGED_BY, MANAGED_BY_LABEL, POOL_KIND, POOL_LABEL
from lorapool_common.kube.errors import ApiError
from lorapool_common.kube.resources import NETWORK_POLICIES, Resource

log = structlog.get_logger(__name__)

Manifest = dict[str, Any]


class Deletes(Protocol):
    """Lists objects and deletes them. Raises: ApiError."""

    async def list(
        self, resource: Resource, namespace: str | None = None, labels: str | None = None
    ) -> list[Manifest]: ...

    async def delete(
        self, resource: Resource, namespace: str | None, name: str, options: Manifest | None = None
    ) -> Manifest: ...


async def drop_policies(kube: Deletes, namespaces: tuple[str, ...]) -> None:
    """Delete those that an operator made for pools, and no other. What cannot be deleted is told: nothing waits for it.

    Args:
        namespaces: where; empty: everywhere.
    """
    spaces: Iterable[str | None] = namespaces or (None,)
    for space in spaces:
        try:
            for found in await kube.list(NETWORK_POLICIES, space, f"{POOL_LABEL},{MANAGED_BY_LABEL}={MANAGED_BY}"):
                if _is_a_pools(found):
                    await _delete(kube, found["metadata"])
        except ApiError as error:
            log.warning("NetworkPolicies of pools stay, which nobody wants", namespace=space, error=error.message)


async def _delete(kube: Deletes, metadata: Manifest) -> None:
    options = {"preconditions": {"uid": metadata["uid"]}}
    try:
        await kube.delete(NETWORK_POLICIES, metadata["namespace"], metadata["name"], options)
    except ApiError as error:
        if not error.is_gone:
            raise


def _is_a_pools(manifest: Manifest) -> bool:
    owners = manifest["metadata"].get("ownerReferences") or ()
    return any(owner.get("controller") and owner.get("kind") == POOL_KIND for owner in owners)
