"""A container that is started again: it serves on with what it had, without reading all of it first."""

import json
import threading
from pathlib import Path

import pytest
from tests import files
from tests.runtime.pods import config, entry, eventually, settings, started, write_adapter
from tests.web import Reply, Web

from lorapool_api.kinds.conditions import Reason
from lorapool_api.kinds.runtime import StubTimings
from lorapool_api.wire.catalog import CatalogEntry
from lorapool_api.wire.fleet import Assignment
from lorapool_api.wire.sources.basic import UrlFile
from lorapool_api.wire.state import AdapterPhase, BasePhase, Tier
from lorapool_runtime.adapters.file import AdapterFile, HostAdapter
from lorapool_runtime.app.readiness import Readiness
from lorapool_runtime.engine.stub import StubEngine
from lorapool_runtime.settings import Settings

CONTENT = files.lora_file()
SHA256 = files.sha256(CONTENT)


class ReadingEngine(StubEngine):
    """Knows what it read."""

    def __init__(self) -> None:
        super().__init__("shapes", StubTimings())
        self.read_files: list[str] = []

    def read(self, file: AdapterFile) -> HostAdapter:
        self.read_files.append(file.sha256)
        return super().read(file)


@pytest.fixture
def own(tmp_path: Path, web: Web) -> Settings:
    web.answers["/a.safetensors"] = Reply(body=CONTENT)
    return settings(tmp_path, config(tmp_path, url_hosts=(web.host,)))


def wanted(web: Web) -> CatalogEntry:
    return CatalogEntry(key="default/one", generation=1, source=UrlFile(url=f"{web.url}/a.safetensors"), sha256=SHA256)


async def test_it_is_ready_without_reading_the_files_again(own: Settings, web: Web) -> None:
    async with started(own, lambda _: ReadingEngine()) as pod:
        await pod.apply(wanted(web))
        assert (await pod.until("default/one")).phase is AdapterPhase.READY
    engine = ReadingEngine()
    async with started(own, lambda _: engine) as pod:
        state = await pod.until("default/one")
        assert (state.phase, state.tier) == (AdapterPhase.READY, Tier.DISK)
        assert engine.read_files == []
        for _ in range(2):
            assert (await pod.generate(adapters=[{"key": "one"}])).status_code == 200
        assert engine.read_files == [SHA256]
    assert web.count("GET", "/a.safetensors") == 1


@pytest.mark.parametrize("keeps_its_time", [True, False])
async def test_a_file_that_was_swapped_in_the_cache_is_never_used(
    own: Settings, web: Web, keeps_its_time: bool
) -> None:
    """Who can write to the cache can write the notes in it too: they are believed no further than READY."""
    async with started(own, lambda _: ReadingEngine()) as pod:
        await pod.apply(wanted(web))
        await pod.until("default/one")
    blob = own.cache / "blobs" / SHA256
    blob.write_bytes(files.lora_file(seed=99)[: len(CONTENT)])
    if keeps_its_time:
        note = own.cache / "checked" / SHA256
        told = json.loads(note.read_text())
        status = blob.stat()
        told["mark"] = [status.st_size, status.st_mtime_ns, status.st_ino]
        note.write_text(json.dumps(told))
    async with started(own, lambda _: ReadingEngine()) as pod:
        await pod.until("default/one", AdapterPhase.READY)
        reply = await pod.generate(adapters=[{"key": "one"}])
        assert (reply.status_code, reply.json()["adapters"][0]["sha256"]) == (200, SHA256)
    assert blob.read_bytes() == CONTENT
    assert web.count("GET", "/a.safetensors") == 2


async def test_weights_that_are_not_finite_are_found_whatever_a_note_says(own: Settings, web: Web) -> None:
    bad = files.lora_file(poison=float("nan"))
    sha256 = files.sha256(bad)
    blob, note = own.cache / "blobs" / sha256, own.cache / "checked" / sha256
    for path in (blob, note):
        path.parent.mkdir(parents=True)
    blob.write_bytes(bad)
    status = blob.stat()
    mark = [status.st_size, status.st_mtime_ns, status.st_ino]
    note.write_text(json.dumps({"mark": mark, "tests": ["sha256", "finite"]}))
    async with started(own) as pod:
        await pod.apply(wanted(web).model_copy(update={"sha256": sha256}))
        state = await pod.until("default/one")
    assert (state.phase, state.reason) == (AdapterPhase.FAILED, Reason.INVALID_WEIGHTS)


async def test_it_takes_requests_when_it_serves_again_what_it_served(own: Settings, web: Web, tmp_path: Path) -> None:
    unserved = write_adapter(tmp_path, "later")
    unserved.write_bytes(b"no adapter")
    async with started(own) as pod:
        await pod.apply(wanted(web), entry(unserved))
        await pod.until("default/one", AdapterPhase.READY)
        await pod.until("default/later", AdapterPhase.FAILED)
    (own.cache / "blobs" / SHA256).unlink()
    gate = threading.Event()
    web.answers["/a.safetensors"] = Reply(body=CONTENT, hold=gate)
    async with started(own) as pod:
        await eventually(lambda: pod.runtime.state().base.phase is BasePhase.WARM)
        await eventually(lambda: pod.runtime.state().adapters["default/later"].phase is AdapterPhase.FAILED)
        reply = await pod.serving.get("/readyz")
        assert reply.status_code == 503
        assert "1 adapters" in reply.json()["message"]
        assert not (await pod.serving.get("/v1/status")).json()["ready"]
        gate.set()
        await eventually(lambda: pod.runtime.not_ready is None)
        assert pod.runtime.state().adapters["default/one"].phase is AdapterPhase.READY


def test_it_takes_requests_after_a_while_without_what_does_not_come() -> None:
    now = 0.0
    readiness = Readiness(120.0, clock=lambda: now)
    readiness.expect(["a", "b", "c"])
    coming = {"a", "b"}  # c was removed, or refused
    assert not readiness.is_complete(coming.__contains__)
    assert sorted(readiness.missing) == ["a", "b"]
    now, coming = 119.0, {"b"}
    assert not readiness.is_complete(coming.__contains__)
    now = 120.0
    assert readiness.is_complete(coming.__contains__)
    assert Readiness(120.0).is_complete(coming.__contains__), "a pod that served nothing waits for nothing"


async def test_a_pod_that_replaces_another_takes_requests_when_it_holds_what_that_one_served(
    own: Settings, web: Web
) -> None:
    gate = threading.Event()
    web.answers["/a.safetensors"] = Reply(body=CONTENT, hold=gate)
    async with started(own) as pod:
        keys = ["default/one", "default/nobody-knows-it"]
        pod.runtime.assign(Assignment.of("ns/pod", {}, keys, first=keys))
        await pod.apply(wanted(web))
        await eventually(lambda: pod.runtime.state().base.phase is BasePhase.WARM)
        reply = await pod.serving.get("/readyz")
        assert (reply.status_code, "1 adapters" in reply.json()["message"]) == (503, True)
        gate.set()
        await eventually(lambda: pod.runtime.not_ready is None)
        assert pod.runtime.state().adapters["default/one"].phase is AdapterPhase.READY


def test_a_pod_that_has_taken_requests_goes_on_whatever_it_is_to_hold_later() -> None:
    readiness = Readiness(120.0)
    assert readiness.is_complete(lambda _: True)
    readiness.expect(["a"])
    assert readiness.is_complete(lambda _: True)
