"""What becomes of a source, waited for."""

from collections.abc import Callable

from tests.waiting import until

from lorapool_api.kinds.adapter import Adapter
from lorapool_operator.seen.resolution import Outcome, Resolution, Resolving, Unresolved
from lorapool_operator.sources.resolver import Resolver


def ask(resolver: Resolver, adapter: Adapter) -> Outcome:
    """What is known, as a pass learns it."""
    resolver.resolve(adapter)
    return resolver.known(adapter)


def is_settled(outcome: Outcome) -> bool:
    return not isinstance(outcome, Resolving)


async def settled(
    resolver: Resolver, adapter: Adapter, holds: Callable[[Outcome], bool] = is_settled, deadline_s: float = 60.0
) -> Outcome:
    await until(lambda: holds(ask(resolver, adapter)), f"an outcome of {adapter.key}", deadline_s)
    return resolver.known(adapter)


async def resolved(resolver: Resolver, adapter: Adapter) -> Resolution:
    found = await settled(resolver, adapter)
    assert isinstance(found, Resolution), found
    return found


async def refused(resolver: Resolver, adapter: Adapter) -> tuple[str, str]:
    """(reason, message) of a source that cannot be used."""
    found = await settled(resolver, adapter)
    assert isinstance(found, Unresolved), found
    return found.verdict.reason, found.verdict.message
