"""What a pool says of the adapters that leave it, to the pools that they move to."""

from collections.abc import Mapping

from lorapool_api.kinds.adapter import Adapter, AdapterStatus
from lorapool_api.kinds.conditions import AdapterCondition
from lorapool_api.wire.catalog import Catalog
from lorapool_operator.decide.adapters.checker import CheckResults
from lorapool_operator.decide.adapters.incremental.statuses import AdapterStatuses
from lorapool_operator.decide.finalizers import held_by_pods
from lorapool_operator.seen.changed import changed_keys
from lorapool_operator.seen.handover import ServedElsewhere
from lorapool_operator.seen.observed import Observed


def leaving(
    seen: Observed, results: CheckResults, statuses: AdapterStatuses, distributed: Catalog
) -> dict[str, ServedElsewhere]:
    """By adapter's key. `distributed`: the catalog that pods were told last."""
    held = held_by_pods(seen, distributed) if seen.leaving else frozenset()
    said = {}
    for adapter in seen.leaving:
        result, wanted = results.get(adapter.key), statuses.by_key.get(adapter.key)
        said[adapter.key] = ServedElsewhere(
            pool=seen.key,
            uid=adapter.metadata.uid,
            is_kept=result is not None and result.entry is not None,
            is_held=held is None or adapter.key in held,
            status=None if wanted is None else _served(wanted.status),
        )
    return said


def _served(status: AdapterStatus) -> AdapterStatus:
    """What the other pool needs of it, without the times: each write of the status would make other ones."""
    ready = (c for c in status.conditions if c.type == AdapterCondition.READY)
    conditions = tuple(c.model_copy(update={"last_transition_time": None}) for c in ready)
    return status.model_copy(update={"conditions": conditions})


def gone_adapters(before: Mapping[str, Adapter], now: Mapping[str, Adapter]) -> dict[str, str]:
    """uids of the adapters that are there no more, with their keys. One of the same name is another."""
    changed = ((before.get(key), now.get(key)) for key in changed_keys(before, now))
    return {
        old.metadata.uid: old.key
        for old, new in changed
        if old is not None and (new is None or new.metadata.uid != old.metadata.uid)
    }
