"""What a pod says of itself to gateways."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.runtime.pods import Running, config, entry, settings, started, write_adapter

from lorapool_api.wire.state import AdapterPhase, ServingStatus


@pytest.fixture
async def pod(tmp_path: Path) -> AsyncIterator[Running]:
    """A warm pod with the adapter `one`."""
    root = tmp_path / "adapters"
    path = write_adapter(root, "one", seed=1)
    async with started(settings(tmp_path, config(root))) as running:
        await running.apply(entry(path))
        assert (await running.until("default/one")).phase is AdapterPhase.READY
        yield running


async def test_the_status_tells_what_work_takes_and_how_much_there_is(pod: Running) -> None:
    before = ServingStatus.model_validate((await pod.serving.get("/v1/status")).json())
    assert before.backlog is None
    for _ in range(2):
        (await pod.generate(adapters=[{"key": "default/one"}], steps=3)).raise_for_status()

    status = ServingStatus.model_validate((await pod.serving.get("/v1/status")).json())

    assert status.costs is not None
    assert status.backlog is not None
    assert status.costs.step_s.keys() == {"unmerged"}
    assert (status.backlog.work_s, status.backlog.active) == (0, ("default/one",))
