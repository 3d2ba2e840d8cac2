"""Stacks as objects: a name that stands for several adapters: pure."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from lorapool_api.kinds.adapter import Adapter
from lorapool_api.kinds.conditions import Reason
from lorapool_api.rules.members import member_key
from lorapool_api.wire.request import MAX_STACK, AdapterUse
from lorapool_api.wire.weighting.scale import Weighting, filled, scale_text, times
from lorapool_gateway.cluster.snapshot import Snapshot
from lorapool_gateway.errors import AdapterUnavailable, BadRequest


@dataclass(frozen=True)
class NamedMember:
    """A member of a stack.

    Attributes:
        scale: in the stack; None: its own.
        adapter: None: its pool has none of that name.
    """

    name: str
    scale: float | None
    adapter: Adapter | None


def members_of(stack: Adapter, snapshot: Snapshot) -> tuple[NamedMember, ...]:
    """The members, each as the operator finds it too; () of an adapter that is no stack."""

    def find(name: str) -> str | None:
        models = snapshot.names.get(name, frozenset())
        return next((m.adapter for m in models if m.pool == stack.serving_pool and m.adapter), None)

    def member(name: str) -> Adapter | None:
        key = member_key(name, stack.metadata.namespace, find)
        return snapshot.adapters.get(key) if key else None

    return tuple(NamedMember(m.name, m.scale, member(m.name)) for m in stack.spec.source.stack or ())


def expanded(use: AdapterUse, stack: Adapter, snapshot: Snapshot) -> tuple[AdapterUse, ...]:
    """The uses of the stack's members, each at its scale times that of the stack, where the stack counts.

    Raises:
        AdapterUnavailable: the pool has no such member.
        BadRequest: that is more than the scale of an adapter may be.
    """
    whole = filled(use.scale, stack.spec.scale)
    members = (_use(member, whole, stack) for member in members_of(stack, snapshot))
    return tuple(member.model_copy(update={"mask": use.mask}) for member in members)


def _use(member: NamedMember, whole: float | Weighting, stack: Adapter) -> AdapterUse:
    adapter = member.adapter
    if adapter is None or adapter.is_stack:
        why = f"its pool has no adapter {member.name}" if adapter is None else f"{member.name} is a stack itself"
        raise AdapterUnavailable(stack.key, Reason.MEMBER_NOT_FOUND, why)
    try:
        scale = times(whole, adapter.spec.scale if member.scale is None else member.scale)
    except ValueError as error:
        text = f"stack {stack.key} at {scale_text(whole)} makes {member.name} {error}"
        raise BadRequest(text, param="loras") from None
    return AdapterUse(key=adapter.key, scale=scale)


def check_uses(uses: Sequence[AdapterUse]) -> None:
    """Return where these adapters can go together in a request. Raises: BadRequest."""
    key, times = next(iter(Counter(use.key for use in uses).most_common(1)), ("", 0))
    if times > 1:
        raise BadRequest(f"adapter {key} is named twice: a stack that the request names has it too", param="loras")
    if len(uses) > MAX_STACK:
        text = f"a request may have at most {MAX_STACK} adapters; with the members of its stacks it has {len(uses)}"
        raise BadRequest(text, param="loras")


def trigger_words(adapter: Adapter, snapshot: Snapshot) -> tuple[str, ...]:
    """The adapter's; of a stack that says none, those of its members."""
    if adapter.trigger_words or not adapter.is_stack:
        return adapter.trigger_words
    members = (m.adapter for m in members_of(adapter, snapshot))
    return tuple(dict.fromkeys(word for member in members if member for word in member.trigger_words))
