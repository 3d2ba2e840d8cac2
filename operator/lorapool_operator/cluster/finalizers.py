"""Leaves nothing behind that would hang once the operator is gone."""

import asyncio
from collections.abc import Iterable
from typing import Any, Final

import structlog

from lorapool_api.names import ADAPTER_FINALIZER, FIELD_MANAGER
from lorapool_common.kube.client import Kube
from lorapool_common.kube.errors import ApiError
from lorapool_common.kube.resources import ADAPTERS

log = structlog.get_logger(__name__)

_TRIES: Final = 5


async def remove_finalizers(namespaces: tuple[str, ...]) -> int:
    """Take our finalizer off every adapter; how many had it.

    Raises:
        ApiError: an adapter could not be written; the others were.
    """
    async with await Kube.connect(FIELD_MANAGER) as kube:
        if not await kube.serves(ADAPTERS):
            return 0
        spaces: Iterable[str | None] = namespaces or (None,)
        bodies = [body for space in spaces for body in await kube.list(ADAPTERS, space)]
        marked = [b for b in bodies if ADAPTER_FINALIZER in _finalizers(b)]
        results = await asyncio.gather(*(_remove(kube, body) for body in marked), return_exceptions=True)
    failures = [r for r in results if isinstance(r, BaseException)]
    if failures:
        raise failures[0]
    return len(marked)


async def _remove(kube: Kube, body: dict[str, Any]) -> None:
    meta = body["metadata"]
    for attempt in range(_TRIES):
        rest = [f for f in _finalizers(body) if f != ADAPTER_FINALIZER]
        patch = {"metadata": {"finalizers": rest, "resourceVersion": body["metadata"]["resourceVersion"]}}
        try:
            await kube.patch(ADAPTERS, meta["namespace"], meta["name"], patch)
        except ApiError as error:
            if error.is_gone:
                return
            if not error.is_conflict or attempt == _TRIES - 1:
                raise
            body = await kube.get(ADAPTERS, meta["namespace"], meta["name"])
        else:
            return


def _finalizers(body: dict[str, Any]) -> list[str]:
    return body["metadata"].get("finalizers") or []
