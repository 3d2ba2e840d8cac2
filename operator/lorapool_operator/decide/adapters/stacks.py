"""Stacks: adapters that are a list of others. They are as their members are."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Final

from lorapool_api.kinds.adapter import Adapter, AdapterStatus
from lorapool_api.kinds.conditions import (
    AdapterCondition,
    Condition,
    Reason,
    traits,
    with_transition_times,
)
from lorapool_api.rules.claims import Claims
from lorapool_api.rules.members import member_key
from lorapool_operator.decide.adapters.adapter_status import WantedStatus, conditions_by, names_held
from lorapool_operator.decide.adapters.checker import CheckResult, CheckResults
from lorapool_operator.decide.adapters.checks import Finding
from lorapool_operator.decide.paused import with_paused
from lorapool_operator.seen.verdict import Verdict

# A stack has no file, and so no version of one that could be behind.
_ORDER: Final = (
    AdapterCondition.ACCEPTED,
    AdapterCondition.RESOLVED,
    AdapterCondition.COMPATIBLE,
    AdapterCondition.READY,
)
_DORA: Final = "dora"


@dataclass(frozen=True)
class MemberState:
    """A member, as far as its stack depends on it.

    Attributes:
        key: None: the pool has no adapter of that name.
        obstacle: the first of its conditions that is not true; None: it is served.
    """

    name: str
    key: str | None
    is_stack: bool = False
    networks: tuple[str, ...] = ()
    obstacle: Verdict | None = None


@dataclass(frozen=True)
class StackInput:
    """What the status of a stack depends on; `now` as in `StatusInput`."""

    adapter: Adapter
    pool: str
    finding: Finding | None
    members: tuple[MemberState, ...]
    now: datetime = field(compare=False)
    names: tuple[str, ...] = ()


def with_members(result: CheckResult, claims: Claims, results: CheckResults) -> CheckResult:
    """The result of a stack with the keys of its members, among all adapters of its pool."""
    adapter = result.adapter

    def find(name: str) -> str | None:
        key = name if name in results else claims.owners.get(name)
        return key if key in results else None

    names = (member.name for member in adapter.spec.source.stack or ())
    return replace(result, members=tuple((n, member_key(n, adapter.metadata.namespace, find)) for n in names))


def stack_input(result: CheckResult, pool: str, statuses: Mapping[str, WantedStatus], now: datetime) -> StackInput:
    """What the status of this stack depends on, from the statuses of all adapters."""
    members = tuple(_member(name, key, statuses) for name, key in result.members)
    return StackInput(result.adapter, pool, result.finding, members, now, result.names)


def _member(name: str, key: str | None, statuses: Mapping[str, WantedStatus]) -> MemberState:
    if key is None or key not in statuses or statuses[key].adapter.is_stack:
        return MemberState(name, key, is_stack=key is not None)
    status = statuses[key].status
    obstacle = next((c for c in status.conditions if c.type in _ORDER and not c.is_true), None)
    verdict = Verdict(obstacle.reason, obstacle.message) if obstacle else None
    networks = (status.resolved.networks if status.resolved else None) or ()
    return MemberState(name, key, networks=networks, obstacle=verdict)


def stack_status(given: StackInput) -> WantedStatus:
    """The whole status; what did not change is equal to what was there, times included."""
    adapter = given.adapter
    conditions = with_transition_times(_conditions(given), adapter.status.conditions, given.now)
    summary = next((c.reason for c in conditions if not c.is_true), conditions[-1].reason)
    status = AdapterStatus(
        observed_generation=adapter.metadata.generation,
        pool_name=given.pool,
        names=names_held(adapter, given.names, given.now),
        summary=summary,
        conditions=conditions,
    )
    status = with_paused(status, adapter, given.now)
    is_new = status != adapter.status
    return WantedStatus(adapter, status if is_new else adapter.status, is_new)


def _conditions(given: StackInput) -> list[Condition]:
    finding = given.finding or _finding(given)
    return conditions_by(finding, lambda type_: _when_true(type_, given), given.adapter.metadata.generation, _ORDER)


def _when_true(type_: AdapterCondition, given: StackInput) -> Verdict:
    names = ", ".join(member.name for member in given.members)
    match type_:
        case AdapterCondition.ACCEPTED:
            return Verdict(Reason.ACCEPTED, f"pool {given.pool} takes it")
        case AdapterCondition.RESOLVED:
            return Verdict(Reason.RESOLVED, names)
        case AdapterCondition.COMPATIBLE:
            return Verdict(Reason.COMPATIBLE, "its members go together")
        case _:
            return Verdict(Reason.SERVED, f"all of its members are served: {names}")


def _finding(given: StackInput) -> Finding | None:
    """What keeps the stack from being served; None: it is served."""
    if missing := [m.name for m in given.members if m.key is None]:
        text = f"pool {given.pool} has no adapter {', '.join(missing)}: create it, or take it out of spec.source.stack"
        return Finding(AdapterCondition.RESOLVED, Verdict(Reason.MEMBER_NOT_FOUND, text))
    if nested := [m.name for m in given.members if m.is_stack]:
        text = f"{', '.join(nested)}: a stack itself; name its members instead"
        return Finding(AdapterCondition.RESOLVED, Verdict(Reason.INVALID_SPEC, text))
    keys = [m.key for m in given.members]
    if twice := sorted({m.name for m in given.members if keys.count(m.key) > 1}):
        text = f"{' and '.join(twice)} are the same adapter: name it once"
        return Finding(AdapterCondition.RESOLVED, Verdict(Reason.INVALID_SPEC, text))
    dora = [m.name for m in given.members if _DORA in m.networks]
    if len(dora) > 1:
        text = f"{', '.join(dora)}: each of them is a DoRA, and a stack can have one"
        return Finding(AdapterCondition.COMPATIBLE, Verdict(Reason.INVALID_SPEC, text))
    return _not_served(given)


def _not_served(given: StackInput) -> Finding | None:
    """The first member that is not served, with its own reason: what ends that ends this."""
    waiting = [(m.name, m.obstacle) for m in given.members if m.obstacle is not None]
    lasting = [row for row in waiting if traits(row[1].reason).needs_somebody]
    if not waiting:
        return None
    name, obstacle = (lasting or waiting)[0]
    others = [other for other, _ in waiting if other != name]
    also = f" (nor are {', '.join(others)})" if others else ""
    text = f"member {name} is not served{also}: {obstacle.message}"
    return Finding(AdapterCondition.READY, Verdict(obstacle.reason, text))
