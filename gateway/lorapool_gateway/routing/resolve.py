"""From the names of a request to a pool and a stack of its adapters: pure."""

import json
from collections.abc import Collection, Sequence
from datetime import UTC, datetime

from lorapool_api.kinds.adapter import NO_POOL, Adapter
from lorapool_api.kinds.conditions import AdapterCondition, Condition, Reason, find
from lorapool_api.kinds.pool import Pool
from lorapool_api.kinds.serving import PromptLoras
from lorapool_api.rules.undeclared import undeclared_repo
from lorapool_api.wire.request import MAX_STACK, AdapterUse, GenerateRequest
from lorapool_gateway.callers.caller import EVERYTHING, Scope
from lorapool_gateway.cluster.snapshot import Model, Snapshot
from lorapool_gateway.errors import AdapterUnavailable, AmbiguousModel, BadRequest, UnknownModel
from lorapool_gateway.routing.allowed import NEAR_MISSES, allowed_models, allowed_pools, check_allowed, near_misses
from lorapool_gateway.routing.defaults import filled
from lorapool_gateway.routing.request import ImageRequest, NamedAdapter, ResolvedRequest
from lorapool_gateway.routing.stacks import check_uses, expanded
from lorapool_gateway.routing.undeclared import in_turn, is_undeclared, undeclared_models
from lorapool_gateway.routing.versions import pinned_version, served_version, split_pin

_NEVER = datetime.max.replace(tzinfo=UTC)


def resolve(
    request: ImageRequest, snapshot: Snapshot, pool: str | None = None, scope: Scope = EVERYTHING
) -> ResolvedRequest:
    """The request to the pods of the pool that has all that it names.

    Args:
        pool: a pool (any of its names) that all of it must be in.
        scope: what the caller's key is for: a name means what that has of it.

    Raises:
        BadRequest: what is named cannot go together, or the prompt names adapters and must not.
        UnknownModel: nothing has a name.
        OutOfScope: what has it, the key is not for.
        AmbiguousModel: more than one has it.
        VersionNotServed: a version is pinned that there is not.
        AdapterUnavailable: it is an adapter for which no pool was found.
    """
    tags = request.prompt_loras
    if tags and not any(map(_allows_prompts, snapshot.pools.values())):
        raise _refused_tags(tags)
    pools, adapters = _stack(request.model, (*request.loras, *tags), snapshot, pool, scope)
    chosen = pools[0]
    if chosen == NO_POOL:
        raise _not_ready(snapshot.adapters[adapters[0].key])
    pool_asked = snapshot.pools.get(chosen)
    if tags and pool_asked and not _allows_prompts(pool_asked):
        raise _refused_tags(tags)
    generate = request.generate.model_copy(update={"adapters": adapters}) if adapters else request.generate
    filled_in, others = filled(generate, chosen, snapshot), tuple(pools[1:])
    resolved = ResolvedRequest(chosen, filled_in, others, scope=scope, content_credentials=request.content_credentials)
    check_allowed(resolved, scope)
    return resolved


def _allows_prompts(pool: Pool) -> bool:
    return pool.spec.serving.prompt_loras is PromptLoras.ALLOW


def _refused_tags(tags: Sequence[NamedAdapter]) -> BadRequest:
    scale = tags[0].scale
    shown = {"name": tags[0].name} | ({"scale": scale} if isinstance(scale, float) else {})
    way = f"loras: [{json.dumps(shown)}]"
    return BadRequest(f"the prompt names adapters, which this pool does not take (promptLoras): use {way}", "prompt")


def _stack(
    model: str | None, loras: Sequence[NamedAdapter], snapshot: Snapshot, pool: str | None, scope: Scope
) -> tuple[Sequence[str], tuple[AdapterUse, ...]]:
    """The pool and its adapters; more pools where it is to be seen which one is meant."""
    names = [*([model] if model is not None else []), *(lora.name for lora in loras)]
    if pool is None and not names:
        return (_only_pool(snapshot, scope),), ()
    split = [split_pin(name, snapshot.names) for name in names]
    wanted = [_candidates(name, snapshot, scope) for name, _ in split]
    pools = _common_pools([whole for whole, _ in split], wanted, _named_pool(pool, snapshot, scope), snapshot)
    models = [_one(name, {m for m in found if m.pool == pools[0]}) for name, found in zip(names, wanted, strict=True)]
    pins = _pins(models, [pin for _, pin in split], snapshot)
    uses = _adapters(models, loras, has_model=model is not None)
    return pools, tuple(use.model_copy(update={"sha256": pins.get(use.key)}) for use in uses)


def _pins(models: Sequence[Model], pins: Sequence[str | None], snapshot: Snapshot) -> dict[str, str]:
    """The sha256 of each version that is pinned, by adapter's key. Raises: BadRequest, VersionNotServed."""
    found: dict[str, str] = {}
    for model, pin in zip(models, pins, strict=True):
        if pin is None:
            continue
        adapter = snapshot.adapters.get(model.adapter) if model.adapter else None
        if adapter is None or adapter.is_stack:
            raise BadRequest(f"{model.full_name} has no versions: only an adapter with a file has", param="model")
        sha256 = str(pinned_version(adapter, pin).sha256)
        if found.setdefault(adapter.key, sha256) != sha256:
            raise BadRequest(f"{adapter.key} is pinned to two versions", param="loras")
    return found


def _only_pool(snapshot: Snapshot, scope: Scope) -> str:
    """The pool of a request that names nothing: the only one of the namespace that had one first."""
    pools = {key: snapshot.pools[key] for key in allowed_pools(snapshot.pools, scope)}
    if not pools:
        raise UnknownModel("(default)")
    first = min(pools.values(), key=lambda pool: (pool.metadata.creation_timestamp or _NEVER, pool.key))
    near = [key for key, pool in pools.items() if pool.metadata.namespace == first.metadata.namespace]
    if len(near) == 1:
        return near[0]
    raise BadRequest(f"name a model: there is more than one base ({', '.join(sorted(pools))})", param="model")


def _named_pool(name: str | None, snapshot: Snapshot, scope: Scope) -> str | None:
    if name is None:
        return None
    bases = frozenset(m for m in snapshot.names.get(name, ()) if m.adapter is None)
    if not bases:
        raise UnknownModel(name, sorted(allowed_pools(snapshot.pools, scope))[:NEAR_MISSES])
    bases = allowed_models(name, bases, scope)
    return _one(name, (bases & snapshot.meant_by(name)) or bases).pool


def _candidates(name: str, snapshot: Snapshot, scope: Scope) -> frozenset[Model]:
    found = snapshot.names.get(name) or undeclared_models(name, snapshot)
    if not found:
        raise UnknownModel(name, near_misses(name, snapshot, scope))
    return allowed_models(name, found, scope)


def _common_pools(
    names: Sequence[str], wanted: Sequence[frozenset[Model]], named: str | None, snapshot: Snapshot
) -> Sequence[str]:
    """The one pool that has all the names; all that may, where all names are of repositories that nobody declares."""
    pools = [{m.pool for m in found} for found in wanted] + ([{named}] if named else [])
    common = set.intersection(*pools)
    if len(common) == 1 or (common and all(map(is_undeclared, wanted))):
        return in_turn(common, snapshot)
    meant = [(found & snapshot.meant_by(name)) or found for name, found in zip(names, wanted, strict=True)]
    if len(first := common.intersection(*({m.pool for m in found} for found in meant))) == 1:
        return tuple(first)
    if common:
        name, found = max(zip(names, wanted, strict=True), key=lambda pair: len(pair[1]))
        raise AmbiguousModel(name, sorted(m.full_name for m in found if m.pool in common))
    places = "; ".join(
        f"{n} is in {', '.join(sorted({m.pool for m in f}))}" for n, f in zip(names, wanted, strict=True)
    )
    where = f", and {named} was asked for" if named else ""
    raise BadRequest(f"all models of one request must be of one pool: {places}{where}", param="model")


def _one(name: str, models: Collection[Model]) -> Model:
    if len(models) > 1:
        raise AmbiguousModel(name, sorted(m.full_name for m in models))
    return next(iter(models))


def _adapters(models: Sequence[Model], loras: Sequence[NamedAdapter], *, has_model: bool) -> tuple[AdapterUse, ...]:
    first = models[0] if has_model else None
    uses = {first.adapter: AdapterUse(key=first.adapter)} if first and first.adapter else {}
    seen: set[str] = set()
    for lora, model in zip(loras, models[1:] if has_model else models, strict=True):
        if model.adapter is None:
            raise BadRequest(f"{lora.name!r} is a base model, not an adapter", param="loras")
        if model.adapter in seen:
            raise BadRequest(f"adapter {lora.name!r} is named twice", param="loras")
        seen.add(model.adapter)
        uses[model.adapter] = AdapterUse(key=model.adapter, scale=lora.scale, mask=lora.mask)
    if len(uses) > MAX_STACK:
        raise BadRequest(f"a request may name at most {MAX_STACK} adapters, this one names {len(uses)}", param="loras")
    return tuple(uses.values())


def with_files(request: GenerateRequest, snapshot: Snapshot, draw: bytes | None = None) -> GenerateRequest:
    """The request with the members for each stack, and for each adapter the version that is served and the sha256 of
    the file that must be used.

    Args:
        draw: as `ResolvedRequest` has it.

    Raises:
        BadRequest: its stacks have more adapters together than a request may have, or one twice.
        UnknownModel: an adapter has gone.
        VersionNotServed: the version that it pins has gone.
        AdapterUnavailable: an adapter is not served, now (transient) or at all.
    """
    if not request.adapters:
        return request
    uses = [one for use in request.adapters for one in _without_stacks(use, snapshot)]
    check_uses(uses)
    return request.model_copy(update={"adapters": tuple(_with_file(use, snapshot, draw) for use in uses)})


def _without_stacks(use: AdapterUse, snapshot: Snapshot) -> tuple[AdapterUse, ...]:
    """The use itself, or those of the members of the stack that it names."""
    adapter = snapshot.adapters.get(use.key)
    if adapter is None or not adapter.is_stack:
        return (use,)
    return expanded(use, _served(use.key, snapshot), snapshot)


def _with_file(use: AdapterUse, snapshot: Snapshot, draw: bytes | None) -> AdapterUse:
    if undeclared_repo(use.key) is not None:
        return use
    served = served_version(_served(use.key, snapshot), use.sha256, draw)
    return use.model_copy(update={"key": served.key, "sha256": served.sha256})


def _served(key: str, snapshot: Snapshot) -> Adapter:
    adapter = snapshot.adapters.get(key)
    if adapter is None or adapter.metadata.is_terminating:
        raise UnknownModel(key)
    _check_ready(adapter, snapshot)
    return adapter


def _check_ready(adapter: Adapter, snapshot: Snapshot) -> None:
    pool = adapter.serving_pool
    if pool == NO_POOL:
        raise _not_ready(adapter)
    if pool not in snapshot.pools:
        raise AdapterUnavailable(adapter.key, Reason.POOL_NOT_FOUND, f"there is no BaseModelPool {pool}")
    if adapter.spec.suspend:
        raise AdapterUnavailable(adapter.key, Reason.SUSPENDED, "spec.suspend is set")
    if adapter.is_ready:
        return
    raise _not_ready(adapter)


def _not_ready(adapter: Adapter) -> AdapterUnavailable:
    obstacle = _obstacle(adapter)
    if obstacle is None:
        return AdapterUnavailable(adapter.key, Reason.RESOLVING, "its newest version has not been looked at yet")
    return AdapterUnavailable(adapter.key, obstacle.reason, obstacle.message)


def _obstacle(adapter: Adapter) -> Condition | None:
    """The first condition in their order that does not hold, if it is about the adapter as it is now."""
    found = (find(adapter.status.conditions, type_) for type_ in AdapterCondition)
    current = (c for c in found if c and c.observed_generation == adapter.metadata.generation)
    return next((c for c in current if not c.is_true), None)
