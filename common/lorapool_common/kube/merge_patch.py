"""JSON merge patches (RFC 7386)."""

from collections.abc import Mapping
from typing import Any

from lorapool_common.kube.resources import Manifest


def merge_patch(old: Mapping[str, Any], new: Mapping[str, Any]) -> Manifest:
    """The merge patch that makes `old` into `new`; empty when they are equal."""
    gone: Manifest = dict.fromkeys(key for key in old if key not in new)
    changed = {key: _changed(old.get(key), value) for key, value in new.items() if old.get(key) != value}
    return gone | changed


def _changed(old: Any, new: Any) -> Any:
    return merge_patch(old, new) if isinstance(old, Mapping) and isinstance(new, Mapping) else new
