"""The kinds of lorapool, as they stand in addresses."""

from typing import Final

from lorapool_api import names
from lorapool_common.kube.resources import Resource

POOLS: Final = Resource(names.GROUP, names.VERSION, names.POOL_PLURAL, names.POOL_KIND)
ADAPTERS: Final = Resource(names.GROUP, names.VERSION, names.ADAPTER_PLURAL, names.ADAPTER_KIND)
