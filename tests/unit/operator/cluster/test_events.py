"""Events are lost without harm."""

import asyncio
from typing import cast

from structlog.testing import capture_logs
from tests.unit.operator import make as made
from tests.unit.operator.refusal import refusal

from lorapool_common.kube.client import Kube
from lorapool_operator.cluster.events import Recorder
from lorapool_operator.decide.events import EventDraft


async def test_an_event_that_is_refused_there_is_no_warning() -> None:
    error, tried = await refusal(), asyncio.Event()

    class Refusing:
        async def create(self, *_: object) -> None:
            tried.set()
            raise error

    recorder = Recorder(cast(Kube, Refusing()), "one")
    recorder.record(EventDraft(made.pool(), "Available", "it is up", is_warning=False))
    with capture_logs() as logs:
        running = asyncio.create_task(recorder.run())
        await asyncio.wait_for(tried.wait(), 10)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
    assert [entry for entry in logs if entry["log_level"] in ("warning", "error")] == []
