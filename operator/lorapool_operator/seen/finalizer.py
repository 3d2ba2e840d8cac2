"""Whether an object has our finalizer."""

from lorapool_api.kinds.adapter import Adapter
from lorapool_api.names import ADAPTER_FINALIZER


def has_finalizer(adapter: Adapter) -> bool:
    return ADAPTER_FINALIZER in adapter.metadata.finalizers


def is_same_but_marked(before: Adapter, now: Adapter) -> bool:
    """Whether nothing is another than before but the finalizers, as the cache has it after a write of them: with the
    spec and the status of before."""
    if before.spec is not now.spec or before.status is not now.status:
        return False
    marks = {"finalizers": now.metadata.finalizers, "resource_version": now.metadata.resource_version}
    return before.metadata.model_copy(update=marks) == now.metadata
