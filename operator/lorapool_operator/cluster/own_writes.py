"""The adapter that a write of ours has left, where it is the one that was known with what was written.

Thousands of replies need not be read anew then, and what was decided stays the same object: nobody compares it.
"""

from collections.abc import Mapping
from typing import Any

from lorapool_api.kinds.adapter import Adapter, AdapterStatus
from lorapool_api.kinds.metadata import Metadata

Reply = Mapping[str, Any]


def with_finalizers(about: Adapter, finalizers: tuple[str, ...], reply: Reply) -> Adapter | None:
    """None: the reply holds something else too."""
    if not _is_as_known(about.metadata, finalizers, reply["metadata"]):
        return None
    return _as_written(about, finalizers, about.status, reply)


def with_status(about: Adapter, status: AdapterStatus, content: Reply, reply: Reply) -> Adapter | None:
    """`content`: the status as it was written. None: the reply holds something else too."""
    meta = about.metadata
    if reply.get("status") != content or not _is_as_known(meta, meta.finalizers, reply["metadata"]):
        return None
    return _as_written(about, meta.finalizers, status, reply)


def _is_as_known(known: Metadata, finalizers: tuple[str, ...], now: Mapping[str, Any]) -> bool:
    """Whether nobody else has changed the object. Each change of a spec makes another generation."""
    return (
        (now.get("uid"), now.get("generation")) == (known.uid, known.generation)
        and tuple(now.get("finalizers") or ()) == finalizers
        and (now.get("labels") or {}) == known.labels
        and (now.get("annotations") or {}) == known.annotations
        and ("deletionTimestamp" in now) == known.is_terminating
    )


def _as_written(about: Adapter, finalizers: tuple[str, ...], status: AdapterStatus, reply: Reply) -> Adapter:
    """Made, not copied: a copy would have what was computed from the one before."""
    version = str(reply["metadata"].get("resourceVersion", ""))
    metadata = about.metadata.model_copy(update={"finalizers": finalizers, "resource_version": version})
    return Adapter.model_construct(metadata=metadata, spec=about.spec, status=status)
