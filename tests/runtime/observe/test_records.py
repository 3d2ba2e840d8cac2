"""A request in a pod: one trace with its stages, one line in the log, both without its prompt."""

from itertools import pairwise
from pathlib import Path

import pytest
from structlog.testing import capture_logs
from tests.runtime.pods import config, entry, settings, started, write_adapter
from tests.unit.observe.spans import CALLER, TRACE, TRACEPARENT, Recorded, ids

from lorapool_api.wire.state import AdapterPhase

STAGES = ["queue", "load", "switch", "prompt", "steps", "decode", "encode"]
HEADERS = {"traceparent": TRACEPARENT, "x-request-id": "from-the-gateway"}


@pytest.mark.parametrize("accept", ["application/json", "image/png", "text/event-stream"])
async def test_a_request_has_its_stages_in_the_trace_of_its_caller_and_a_line_with_its_id(
    tmp_path: Path, accept: str
) -> None:
    recorded = Recorded()
    path = write_adapter(tmp_path / "adapters", "one", seed=1)
    async with started(settings(tmp_path, config(tmp_path / "adapters")), tracing=recorded.tracing) as pod:
        await pod.apply(entry(path))
        assert (await pod.until("default/one")).phase is AdapterPhase.READY
        body = {"prompt": "my secret prompt", "adapters": [{"key": "default/one"}]}
        with capture_logs() as lines:
            reply = await pod.serving.post("/v1/generate", json=body, headers={**HEADERS, "accept": accept})
    assert reply.headers["x-request-id"] == "from-the-gateway"
    generate = recorded.named("generate")
    assert ids(generate) == (TRACE, CALLER)
    stages = recorded.below(generate)
    assert [stage.name for stage in stages] == STAGES
    for before, after in pairwise(stages):
        assert before.end_time == after.start_time
    (line,) = (line for line in lines if line["event"] == "images made")
    assert line["adapters"] == ["default/one"]
    assert {f"{stage}_s" for stage in STAGES} <= line.keys()
    assert "secret" not in recorded.words() + str(lines)


async def test_a_refused_request_has_a_line_with_its_reason(tmp_path: Path) -> None:
    recorded = Recorded()
    async with started(settings(tmp_path, config(tmp_path)), tracing=recorded.tracing) as pod:
        await pod.apply()
        with capture_logs() as lines:
            await pod.generate(adapters=[{"key": "default/nobody"}])
    (line,) = (line for line in lines if line["event"] == "no images made")
    assert line["error"] == "this pod has no adapter 'default/nobody'"
    assert recorded.named("generate").status.description == line["outcome"]
