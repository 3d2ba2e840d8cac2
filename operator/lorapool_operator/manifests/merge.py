"""Strategic merge of a pod template over another, as `kubectl patch` does it, for the lists that pods have."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

# The key by which the items of a list are told apart (x-kubernetes-patch-merge-key of the core API).
_MERGE_KEYS: Final = {
    "containers": "name",
    "initContainers": "name",
    "volumes": "name",
    "env": "name",
    "volumeMounts": "mountPath",
    "volumeDevices": "devicePath",
    "ports": "containerPort",
    "imagePullSecrets": "name",
    "hostAliases": "ip",
    "topologySpreadConstraints": "topologyKey",
}
# Unions: who chooses another member does not want both.
_UNIONS: Final = {"volumes", "env"}


def merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """`over` laid over `base`: maps merge, named lists merge by their key, all else is replaced; null removes."""
    merged = dict(base)
    for key, value in over.items():
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = _merge_value(key, merged.get(key), value)
    return merged


def _merge_value(key: str, old: Any, new: Any) -> Any:
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        return merge(old, new)
    by = _MERGE_KEYS.get(key)
    if by and isinstance(old, Sequence) and isinstance(new, Sequence) and all(_has(item, by) for item in new):
        return _merge_list(old, new, by, replace=key in _UNIONS)
    return new


def _has(item: Any, key: str) -> bool:
    return isinstance(item, Mapping) and key in item


def _merge_list(old: Sequence[Any], new: Sequence[Any], by: str, *, replace: bool) -> list[Any]:
    """The old items in their order, those of the same key merged or replaced, then the new ones."""
    rest = {item[by]: item for item in new}
    merged = [_merge_item(item, rest.pop(item[by], None), replace=replace) for item in old]
    return [*merged, *rest.values()]


def _merge_item(old: Any, new: Any | None, *, replace: bool) -> Any:
    if new is None:
        return old
    return dict(new) if replace else merge(old, new)
