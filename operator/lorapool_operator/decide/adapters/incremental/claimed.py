"""Who has which name in a pool, from pass to pass."""

from collections.abc import Iterable

from lorapool_api.kinds.adapter import Adapter
from lorapool_api.rules.claims import Claims, held_in
from lorapool_operator.decide.adapters.names import NamesInput, names_with, settle_names


class NameDecisions:
    """The names: all settled anew where adapters went or claim other names, or those that came may not be the only ones
    to want theirs."""

    def __init__(self) -> None:
        self._before: NamesInput | None = None
        self._claims = Claims("")

    def __call__(self, given: NamesInput, changed: Iterable[tuple[Adapter | None, Adapter | None]]) -> Claims:
        """`changed`: adapters that are other objects than before, as they were and as they are."""
        self._claims = self._known(given, changed) or settle_names(given)
        self._before = given
        return self._claims

    def _known(self, given: NamesInput, changed: Iterable[tuple[Adapter | None, Adapter | None]]) -> Claims | None:
        """What follows from the names of before; None: all are to be settled."""
        if self._before is None or _rules(self._before) != _rules(given):
            return None
        came: list[Adapter] = []
        for before, now in changed:
            if before is None and now is not None:
                came.append(now)
            elif not self._claims_the_same(before, now):
                return None
        return names_with(self._claims, given, came) if came else self._claims

    def _claims_the_same(self, before: Adapter | None, now: Adapter | None) -> bool:
        if before is None or now is None or before.metadata.uid != now.metadata.uid:
            return False
        return (before.spec is now.spec or before.spec == now.spec) and self._holds_the_same(before, now)

    def _holds_the_same(self, before: Adapter, now: Adapter) -> bool:
        """Whether its status records the names as before, or more of those that were its own anyway."""
        had, has = (held_in(adapter, self._claims.pool) for adapter in (before, now))
        return had == has or (had < has and all(self._claims.owners.get(name) == now.key for name in has - had))


def _rules(given: NamesInput) -> tuple[object, ...]:
    return given.key, given.pool, given.namespace_labels, given.kept
