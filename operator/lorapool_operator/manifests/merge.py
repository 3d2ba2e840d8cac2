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
    "resourceClaims": "name",
    "schedulingGates": "name",
}
# Unions: who chooses another member does not want both.
_UNIONS: Final = {"volumes", "env"}
_PATCH: Final = "$patch"
_DELETE: Final = "delete"
_REPLACE: Final = "replace"
_MERGE: Final = "merge"


class MergeError(Exception):
    """A directive that cannot be followed.

    Attributes:
        path: where it stands.
    """

    def __init__(self, path: str, message: str) -> None:
        super().__init__(f"{path}: {message}")
        self.path = path
        self.message = message


def merge(base: Mapping[str, Any], over: Mapping[str, Any], path: str = "") -> dict[str, Any]:
    """`over` laid over `base`: maps merge, named lists merge by their key, all else is replaced; null removes.

    `$patch: delete` removes the item of a list, or the map, in which it stands; `$patch: replace` takes it as it is.

    Args:
        path: of `over`, for errors.

    Raises:
        MergeError: another directive.
    """
    merged = {} if _directive(over, path) == _REPLACE else dict(base)
    for key, value in over.items():
        where = f"{path}.{key}" if path else key
        if key == _PATCH:
            continue
        if key.startswith("$"):
            raise MergeError(where, f"is not known; {_PATCH}: {_DELETE}, {_REPLACE} and {_MERGE} are")
        if value is None or (isinstance(value, Mapping) and _directive(value, where) == _DELETE):
            merged.pop(key, None)
        else:
            merged[key] = _merge_value(key, merged.get(key), value, where)
    return merged


def _directive(item: Mapping[str, Any], path: str) -> str | None:
    found = item.get(_PATCH)
    if found is not None and found not in (_DELETE, _REPLACE, _MERGE):
        raise MergeError(f"{path}.{_PATCH}", f"{found!r} is none of {_DELETE}, {_REPLACE} and {_MERGE}")
    return None if found is None else str(found)


def _merge_value(key: str, old: Any, new: Any, path: str) -> Any:
    if isinstance(new, Mapping):
        return merge(old if isinstance(old, Mapping) else {}, new, path)
    by = _MERGE_KEYS.get(key)
    if by is None or not _is_list(new):
        return new
    items = [item for item in new if item != {_PATCH: _REPLACE}]
    if not all(isinstance(item, Mapping) and by in item for item in items):
        return new
    kept = old if _is_list(old) and len(items) == len(new) else ()
    return _merge_list(kept, items, by, path, replace=key in _UNIONS)


def _is_list(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str)


def _merge_list(
    old: Sequence[Any], new: Sequence[Mapping[str, Any]], by: str, path: str, *, replace: bool
) -> list[Any]:
    """The old items in their order, those of the same key merged or replaced, then the new ones."""
    merged = {item[by]: item for item in old}
    for item in new:
        where = item_path(path, by, item[by])
        if _directive(item, where) == _DELETE:
            merged.pop(item[by], None)
        else:
            before = {} if replace else merged.get(item[by], {})
            merged[item[by]] = merge(before, item, where)
    return list(merged.values())


def item_path(path: str, by: str, value: Any) -> str:
    """Of the item of a list that has that value under its key, as managed fields name it."""
    return f'{path}[{by}="{value}"]' if isinstance(value, str) else f"{path}[{by}={value}]"
