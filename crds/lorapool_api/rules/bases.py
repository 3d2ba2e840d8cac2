"""By which names the card of an adapter may call the base model of a pool: pure."""

from collections.abc import Collection

from lorapool_api.kinds.base_model import BaseModelSpec


def base_ids(model: BaseModelSpec) -> tuple[str, ...]:
    """Its repository on the Hub, and its aliases that are ids of the Hub, `owner/name`."""
    hub = model.source.hub
    return tuple(dict.fromkeys((*((hub.repo,) if hub else ()), *(a for a in model.aliases if "/" in a))))


def is_base(model: BaseModelSpec, named: Collection[str]) -> bool:
    """Whether a card that names these bases means this one."""
    return any(known in named for known in base_ids(model))
