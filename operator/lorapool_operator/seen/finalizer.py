"""Whether an object has our finalizer."""

from lorapool_api.kinds.adapter import Adapter
from lorapool_api.names import ADAPTER_FINALIZER


def has_finalizer(adapter: Adapter) -> bool:
    return ADAPTER_FINALIZER in adapter.metadata.finalizers
