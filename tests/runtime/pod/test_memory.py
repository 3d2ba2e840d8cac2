"""What requests that wait take of the pod's memory: no more than the pool gave for adapters."""

import asyncio
import threading
import weakref
from collections.abc import Sequence
from pathlib import Path

from tests.runtime.pods import config, entry, eventually, settings, started, write_adapter

from lorapool_api.kinds.runtime import StubTimings
from lorapool_api.kinds.serving import Serving
from lorapool_api.wire.config import Budgets
from lorapool_runtime.adapters.file import AdapterFile, HostAdapter
from lorapool_runtime.engine.contract import RenderRequest
from lorapool_runtime.engine.result import Result
from lorapool_runtime.engine.stub import StubAdapter, StubEngine

WAITING, ROOM = 64, 5


class WeighingEngine(StubEngine):
    """Knows how many bytes of adapters anybody still holds, and renders when the test lets it."""

    def __init__(self) -> None:
        super().__init__("shapes", StubTimings())
        self.alive_bytes = 0
        self.peak_bytes = 0
        self.gate = threading.Event()
        self._lock = threading.Lock()

    def read(self, file: AdapterFile) -> HostAdapter:
        adapter = StubAdapter(file.identity, file.sha256, file.facts.size_bytes)
        self._count(adapter.size_bytes)
        weakref.finalize(adapter, self._count, -adapter.size_bytes)
        return adapter

    def render(self, requests: Sequence[RenderRequest[HostAdapter]], waiting: int = 0) -> Sequence[Result]:
        assert self.gate.wait(60)
        return super().render(requests, waiting)

    def _count(self, size_bytes: int) -> None:
        with self._lock:
            self.alive_bytes += size_bytes
            self.peak_bytes = max(self.peak_bytes, self.alive_bytes)


async def test_requests_that_wait_keep_within_the_hosts_budget(tmp_path: Path) -> None:
    paths = [write_adapter(tmp_path / "adapters", f"a{i}", seed=i) for i in range(WAITING)]
    size_bytes = paths[0].stat().st_size
    engine = WeighingEngine()
    own = config(
        tmp_path / "adapters",
        budgets=Budgets(host_bytes=ROOM * size_bytes),
        serving=Serving.model_validate(
            {"maxPending": WAITING, "defaults": {"width": 64, "height": 64, "steps": 1}, "requestTimeoutSeconds": 300}
        ),
    )
    async with started(settings(tmp_path, own), lambda _: engine) as pod:
        await pod.apply(*(entry(path) for path in paths))
        await pod.until_all([f"default/a{i}" for i in range(WAITING)])
        await eventually(lambda: pod.runtime.not_ready is None)
        await eventually(lambda: engine.alive_bytes <= ROOM * size_bytes)
        engine.peak_bytes = engine.alive_bytes
        asked = [asyncio.create_task(pod.generate(adapters=[{"key": f"a{i}"}])) for i in range(WAITING)]
        await eventually(lambda: pod.runtime.status().pending + pod.runtime.status().running == WAITING)
        engine.gate.set()
        replies = await asyncio.gather(*asked)
        assert [reply.status_code for reply in replies] == [200] * WAITING
    # What runs now may be beyond it.
    assert engine.peak_bytes <= (ROOM + 1) * size_bytes
