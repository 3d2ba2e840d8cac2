"""What is remembered of what a pod said, and what it is told of a change."""

from typing import Any

from tests.unit.operator import make as op

from lorapool_api.wire.catalog import Catalog, CatalogEntry
from lorapool_api.wire.sources.basic import PathFile
from lorapool_api.wire.state import AdapterPhase, BasePhase, BaseState, PodState
from lorapool_operator.pods.delta import delta
from lorapool_operator.pods.report import MAX_STRANGERS, ReportLog, SaidAlike

EMPTY = Catalog.of(())


def entry(name: str, generation: int = 1) -> CatalogEntry:
    return CatalogEntry(key=f"default/{name}", generation=generation, source=PathFile(path=f"/adapters/{name}"))


def test_a_delta_names_what_is_new_changed_or_gone() -> None:
    held = Catalog.of([entry("same"), entry("edited"), entry("gone")])
    wanted = Catalog.of([entry("same"), entry("edited", 2), entry("new")])
    change = delta(held, wanted)
    assert (change.base, change.digest) == (held.digest, wanted.digest)
    assert [e.key for e in change.upsert] == ["default/edited", "default/new"]
    assert change.remove == ("default/gone",)


def said(
    version: int, instance: str = "i", *, complete: bool = False, digest: str | None = "d", **adapters: Any
) -> PodState:
    states = {f"default/{name}": op.state(phase) for name, phase in adapters.items()}
    base = BaseState(phase=BasePhase.WARM, revision="r")
    return PodState(instance=instance, version=version, digest=digest, base=base, complete=complete, adapters=states)


def phases(log: ReportLog) -> dict[str, str]:
    return {key.partition("/")[2]: str(s.phase) for key, s in log.adapters.items()}


def test_news_are_added_to_what_was_said_before() -> None:
    log = ReportLog()
    assert log.apply(said(1, complete=True, a=AdapterPhase.READY, b=AdapterPhase.LOADING))
    assert log.apply(said(2, b=AdapterPhase.READY))
    assert phases(log) == {"a": "ready", "b": "ready"}
    assert not log.apply(said(2, b=AdapterPhase.READY))


def test_a_complete_answer_drops_what_it_does_not_name() -> None:
    log = ReportLog()
    log.apply(said(1, complete=True, a=AdapterPhase.READY, b=AdapterPhase.READY))
    assert log.apply(said(2, complete=True, b=AdapterPhase.READY))
    assert phases(log) == {"b": "ready"}


def test_what_has_gone_is_dropped_unless_it_came_back() -> None:
    log = ReportLog()
    log.apply(said(1, complete=True, a=AdapterPhase.READY, b=AdapterPhase.READY))
    log.apply(said(5, b=AdapterPhase.LOADING))
    gone = ("default/a", "default/b", "default/never")
    assert log.apply(said(4).model_copy(update={"gone": gone}))
    assert phases(log) == {"b": "loading"}
    assert not log.apply(said(5).model_copy(update={"gone": ("default/a",)}))


def test_answers_that_overtook_each_other_do_not_turn_back_time() -> None:
    """A PATCH is answered while an older long poll is on its way."""
    log = ReportLog()
    log.apply(said(1, complete=True, a=AdapterPhase.LOADING))
    log.apply(said(5, digest="new", a=AdapterPhase.READY))
    assert not log.apply(said(4, digest="old", a=AdapterPhase.LOADING))
    assert phases(log) == {"a": "ready"}
    assert log.digest == "new"


def test_another_instance_knows_nothing_of_what_the_one_before_said() -> None:
    log = ReportLog(held=EMPTY)
    log.apply(said(9, complete=True, a=AdapterPhase.READY))
    log.since = 9
    assert log.apply(said(1, "another", complete=True, digest=None))
    assert phases(log) == {}
    assert (log.since, log.digest, log.held) == (0, None, None)


def state(version: int = 1, revision: str = "rev", **adapters: Any) -> dict[str, Any]:
    said = {f"default/{name}": {"phase": "ready", "generation": 1} | fields for name, fields in adapters.items()}
    base = {"phase": "warm", "revision": revision}
    return {"instance": "i", "version": version, "digest": "d", "complete": True, "base": base, "adapters": said}


def test_adapters_that_nobody_asked_for_do_not_pile_up() -> None:
    log = ReportLog()
    log.expect(frozenset({"default/pixel"}))
    for round_ in range(5):
        names: dict[str, Any] = {f"stranger-{round_}-{n}": {} for n in range(1000)}
        answer = PodState.model_validate(state(round_ + 1, "rev", **names) | {"complete": False})
        log.apply(answer)
    log.apply(PodState.model_validate(state(9, pixel={}) | {"complete": False}))

    assert len(log.adapters) <= MAX_STRANGERS + 2
    assert log.adapters["default/pixel"].phase is AdapterPhase.READY


def test_what_there_was_no_room_for_is_asked_for_again_when_it_is_wanted() -> None:
    log = ReportLog()
    names: dict[str, Any] = {f"a{n}": {} for n in range(MAX_STRANGERS + 10)}
    log.apply(PodState.model_validate(state(3, "rev", **names)))
    log.since = 3

    log.expect(frozenset(f"default/{name}" for name in names))

    assert log.since == 0


def test_what_a_pass_has_seen_stays_as_it_was() -> None:
    log = ReportLog()
    log.apply(PodState.model_validate(state(1, pixel={})))
    before = log.report()

    log.apply(PodState.model_validate(state(2, pixel={"phase": "failed"}, other={})))

    assert before.adapters["default/pixel"].phase is AdapterPhase.READY
    assert "default/other" not in before.adapters
    assert log.report().adapters["default/pixel"].phase is AdapterPhase.FAILED


def test_what_is_said_of_adapters_that_are_alike_shares_what_is_the_same_of_all() -> None:
    log = ReportLog()
    log.apply(said(1, complete=True, one="ready", two="ready"))
    one, two = log.adapters["default/one"], log.adapters["default/two"]
    assert one.model_fields_set is two.model_fields_set


def test_what_several_pods_say_alike_is_kept_once_for_as_long_as_the_adapter_is_wanted() -> None:
    alike = SaidAlike()
    one, two = ReportLog(alike=alike), ReportLog(alike=alike)
    for log in (one, two):
        log.expect(frozenset({"default/a"}))
        log.apply(said(1, a=AdapterPhase.READY, stranger=AdapterPhase.READY))
    assert one.adapters["default/a"] is two.adapters["default/a"]
    assert one.adapters["default/stranger"] is not two.adapters["default/stranger"], "nobody says when it goes"
    two.apply(said(2, a=AdapterPhase.FAILED))
    assert phases(one)["a"] == "ready"
    assert phases(two)["a"] == "failed"

    kept = two.adapters["default/a"]
    alike.keep_only({"default/b"})
    one.apply(said(2, a=AdapterPhase.FAILED))
    assert one.adapters["default/a"] == kept
    assert one.adapters["default/a"] is not kept
