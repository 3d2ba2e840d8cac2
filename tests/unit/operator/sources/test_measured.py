"""Looks at sources are counted by how they end."""

import asyncio

import pytest
from tests import make
from tests.unit.observe.expositions import HandClock, value

from lorapool_api.fetch.policy import SourceRefused
from lorapool_api.kinds.conditions import Reason
from lorapool_api.kinds.sources import AdapterSource
from lorapool_operator.metrics import Metrics
from lorapool_operator.seen.resolution import Resolution
from lorapool_operator.sources.measured import MeasuredSources

HUB = make.adapter(source={"hub": {"repo": "a/b"}}).spec.source
URL = make.adapter(source={"url": "https://files.test/a.safetensors"}).spec.source


class ScriptedSources:
    """Finds what is on the Hub, and nothing else."""

    def __init__(self, clock: HandClock) -> None:
        self._clock = clock

    async def look(self, source: AdapterSource, namespace: str) -> Resolution:
        self._clock.now_s += 2
        if source.hub is None:
            raise SourceRefused(Reason.SOURCE_FORBIDDEN, "no")
        return Resolution()


async def test_a_look_is_counted_by_its_kind_of_source_and_its_result() -> None:
    clock = HandClock()
    metrics = Metrics(clock)
    sources = MeasuredSources(ScriptedSources(clock), metrics, clock)
    await sources.look(HUB, "default")
    with pytest.raises(SourceRefused):
        await sources.look(URL, "default")
    text = metrics.text().decode()
    assert value(text, "lorapool_operator_source_lookups_total", source="hub", result="ok") == 1
    assert value(text, "lorapool_operator_source_lookups_total", source="url", result="SourceForbidden") == 1
    assert value(text, "lorapool_operator_source_lookup_seconds_sum", source="hub") == 2


async def test_one_that_is_given_up_is_counted_too() -> None:
    class Never:
        async def look(self, source: AdapterSource, namespace: str) -> Resolution:
            await asyncio.Event().wait()
            raise AssertionError

    metrics = Metrics()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0):
            await MeasuredSources(Never(), metrics).look(HUB, "default")
    assert value(metrics.text().decode(), "lorapool_operator_source_lookups_total", result="unanswered") == 1
