"""Which statuses are written now, and which wait until there is more to say."""

from typing import Any

import pytest
from tests import make
from tests.unit.operator import make as op

from lorapool_api.kinds.adapter import Adapter, AdapterStatus
from lorapool_api.wire.state import AdapterPhase
from lorapool_operator.decide.adapters.adapter_status import WantedStatus
from lorapool_operator.decide.adapters.incremental.status_news import StatusNews, due_statuses, news_of

POOL = op.pool()


def status(**pods: AdapterPhase | None) -> AdapterStatus:
    """Of an adapter, where these pods are so far with it; None: they do not have it yet."""
    said = {name: op.report() if phase is None else op.report(pixel=op.state(phase)) for name, phase in pods.items()}
    return op.statuses(op.seen(make.adapter("pixel"), pool=POOL, reports=said))["default/pixel"]


READY, LOADING, DOWNLOADING = AdapterPhase.READY, AdapterPhase.LOADING, AdapterPhase.DOWNLOADING
NOTHING = AdapterStatus()


@pytest.mark.parametrize(
    ("before", "now", "news"),
    [
        (NOTHING, status(a=READY), StatusNews.CHANGE),
        (NOTHING, status(a=DOWNLOADING), StatusNews.PROGRESS),
        (status(a=DOWNLOADING), status(a=LOADING), StatusNews.PROGRESS),
        (status(a=LOADING), status(a=READY), StatusNews.CHANGE),
        (status(a=READY, b=None), status(a=READY, b=READY), StatusNews.COUNTS),
        (status(a=READY), status(a=READY, b=None), StatusNews.COUNTS),
        (status(a=READY, b=READY), status(a=READY, b=AdapterPhase.FAILED), StatusNews.CHANGE),
        (status(a=READY), status(a=DOWNLOADING), StatusNews.CHANGE),
    ],
)
def test_how_much_is_new(before: AdapterStatus, now: AdapterStatus, news: StatusNews) -> None:
    assert news_of(before, now) is news


def test_an_answer_to_an_edit_is_not_put_off() -> None:
    before = status(a=DOWNLOADING)
    now = before.model_copy(update={"observed_generation": 2})
    assert news_of(before, now) is StatusNews.CHANGE


def wanted(name: str, before: AdapterStatus, now: AdapterStatus) -> WantedStatus:
    adapter: Adapter = make.adapter(name)
    return WantedStatus(adapter.model_copy(update={"status": before}), now, is_new=True)


def test_what_may_wait_is_written_when_it_has_waited() -> None:
    ready, way = wanted("ready", NOTHING, status(a=READY)), wanted("way", NOTHING, status(a=DOWNLOADING))
    first = due_statuses((ready, way), {}, 50.0)
    assert (first.now, first.again_s) == ((ready,), StatusNews.PROGRESS.may_wait_s)
    later: dict[str, Any] = dict(first.since_s)
    again = due_statuses((way,), later, 50.0 + StatusNews.PROGRESS.may_wait_s)
    assert (again.now, again.again_s) == ((way,), 0.0)
    assert set(again.since_s) == {"default/way"}


def test_how_far_thousands_are_is_written_later_and_that_they_are_served_at_once() -> None:
    way = [wanted(f"way{number}", NOTHING, status(a=DOWNLOADING)) for number in range(1000)]
    ready = wanted("ready", NOTHING, status(a=READY))
    first = due_statuses((*way, ready), {}, 50.0)
    assert first.now == (ready,)
    assert 5.0 < first.again_s < 10.0
    later: dict[str, Any] = dict(first.since_s)
    assert due_statuses(way, later, 52.0).now == ()
    assert len(due_statuses(way, later, 50.0 + first.again_s).now) == 1000
    assert len(due_statuses(way[:100], later, 52.0).now) == 100, "when most of them are served the others need not wait"
