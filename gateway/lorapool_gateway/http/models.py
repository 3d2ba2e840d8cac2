"""The models that there are, as OpenAI lists them: pure."""

from typing import Any

from lorapool_api.kinds.adapter import Adapter
from lorapool_gateway.callers.caller import EVERYTHING, Scope
from lorapool_gateway.cluster.snapshot import Model, Snapshot, other_names, shortest_name
from lorapool_gateway.errors import AmbiguousModel, OutOfScope, UnknownModel
from lorapool_gateway.routing.allowed import is_allowed, near_misses
from lorapool_gateway.routing.defaults import defaults_of
from lorapool_gateway.routing.stacks import members_of, trigger_words
from lorapool_gateway.routing.versions import pinned_version, served_version, split_pin


def served_models(snapshot: Snapshot, scope: Scope = EVERYTHING) -> list[dict[str, Any]]:
    """The base of every pool and every adapter that is served, each under its shortest name that is unambiguous; of
    those the ones that the caller's key is for."""
    bases = [Model(key) for key in snapshot.pools]
    adapters = [Model(a.serving_pool, key) for key, a in snapshot.adapters.items() if a.is_ready and not a.spec.suspend]
    known = [m for m in (*bases, *adapters) if m.pool in snapshot.pools and is_allowed(m, scope)]
    return sorted((_describe(model, snapshot) for model in known), key=lambda row: (row["kind"] != "base", row["id"]))


def find_model(name: str, snapshot: Snapshot, scope: Scope = EVERYTHING) -> dict[str, Any]:
    """One model, under the name that was asked for. Raises: UnknownModel, OutOfScope, AmbiguousModel,
    VersionNotServed, BadRequest."""
    whole, pin = split_pin(name, snapshot.names)
    named = snapshot.names.get(whole)
    if not named:
        raise UnknownModel(name, near_misses(name, snapshot, scope))
    usable = frozenset(model for model in named if is_allowed(model, scope))
    if not usable:
        raise OutOfScope(name)
    models = (usable & snapshot.meant_by(whole)) or usable
    if len(models) > 1:
        raise AmbiguousModel(name, sorted(m.full_name for m in models))
    (model,) = models
    row, adapter = _describe(model, snapshot) | {"id": name}, snapshot.adapters.get(model.adapter or "")
    return row | {"sha256": pinned_version(adapter, pin).sha256} if pin is not None and adapter else row


def _describe(model: Model, snapshot: Snapshot) -> dict[str, Any]:
    """OpenAI's fields of a model, and ours."""
    adapter = snapshot.adapters.get(model.adapter) if model.adapter else None
    found = adapter or snapshot.pools[model.pool]
    created = found.metadata.creation_timestamp
    row: dict[str, Any] = {
        "id": shortest_name(model, snapshot),
        "object": "model",
        "created": int(created.timestamp()) if created else 0,
        "owned_by": found.metadata.namespace,
        "kind": "adapter" if adapter else "base",
        "pool": model.pool,
        "names": list(other_names(model, snapshot)),
    }
    if adapter:
        row |= {
            "ready": adapter.is_ready and not adapter.spec.suspend,
            "scale": adapter.spec.scale,
            "trigger_words": list(trigger_words(adapter, snapshot)),
            "defaults": _defaults(adapter, model.pool, snapshot),
            "sha256": served_version(adapter).sha256,
        }
        if adapter.thumbnail:
            row["thumbnail"] = adapter.thumbnail
        if adapter.is_stack:
            row["stack"] = _members(adapter, snapshot)
    return row


def _defaults(adapter: Adapter, pool: str, snapshot: Snapshot) -> dict[str, Any]:
    """What a request with it gets that does not say, by the names of a request's fields."""
    return defaults_of(adapter, pool, snapshot).model_dump(mode="json", exclude_none=True)


def _members(stack: Adapter, snapshot: Snapshot) -> list[dict[str, Any]]:
    """The adapters that a stack stands for, as `loras` of a request would name them."""
    rows = ((m, m.adapter) for m in members_of(stack, snapshot))
    return [
        {"name": found.key if found else m.name, "scale": found.spec.scale if found and m.scale is None else m.scale}
        for m, found in rows
    ]
