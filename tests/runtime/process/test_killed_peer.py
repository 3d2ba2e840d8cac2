"""A pod is killed while another one fetches a file from it, and a disk that is really full."""

import asyncio
import os
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Final

import httpx
import numpy as np
import pytest
from safetensors.numpy import save
from tests import files
from tests.runtime.pods import DEADLINE_S, TOKEN, config, free_port, settings, started
from tests.runtime.process.processes import process, until_ready
from tests.runtime.process.test_process import pod_environment
from tests.waiting import until_read
from tests.web import Reply, Web

from lorapool_api.kinds.conditions import Reason
from lorapool_api.kinds.runtime import StubTimings
from lorapool_api.rules.rendezvous import Nodes
from lorapool_api.wire.catalog import Catalog, CatalogEntry
from lorapool_api.wire.fleet import Assignment
from lorapool_api.wire.sources.basic import UrlFile
from lorapool_api.wire.state import AdapterPhase, PodState
from lorapool_runtime.errors import AdapterError
from lorapool_runtime.sources.blobs import BlobFolder
from lorapool_runtime.sources.fetch import Fetcher
from lorapool_runtime.sources.origins import SourceRules

_MODULE: Final = "unet.down_blocks.1.attentions.0.transformer_blocks.0.attn2.to_k"
CONTENT: Final = save(
    {
        f"{_MODULE}.lora_A.weight": np.zeros((64, 32768), np.float32),
        f"{_MODULE}.lora_B.weight": np.zeros((32768, 64), np.float32),
    }
)
# As it is served: a little of it has come when the pod dies.
_PASSED_BYTES: Final = 1 << 20


class Cut:
    """A way to a pod on which answers stop after some bytes, until the pod is gone."""

    def __init__(self, port: int) -> None:
        self._port = port
        self.has_stopped = asyncio.Event()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        try:
            back, on = await asyncio.open_connection("127.0.0.1", self._port)
        except OSError:
            writer.close()
            return
        await asyncio.gather(self._pass(reader, on), self._answer(back, writer), return_exceptions=True)
        for each in (on, writer):
            each.close()

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while some := await reader.read(1 << 16):
            writer.write(some)
            await writer.drain()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        passed = 0
        while some := await reader.read(1 << 16):
            if passed < _PASSED_BYTES:
                writer.write(some)
                await writer.drain()
            passed += len(some)
            if passed >= _PASSED_BYTES:
                self.has_stopped.set()
        writer.close()


@asynccontextmanager
async def cut(port: int) -> AsyncIterator[tuple[Cut, int]]:
    """(the way, its own port)."""
    way = Cut(port)
    server = await asyncio.start_server(way.serve, "127.0.0.1")
    try:
        yield way, server.sockets[0].getsockname()[1]
    finally:
        server.close()


async def test_a_pod_that_is_killed_while_it_gives_a_file_costs_its_taker_nothing(tmp_path: Path, web: Web) -> None:
    web.answers["/a.safetensors"] = Reply(body=CONTENT)
    entry = CatalogEntry(key="default/a", source=UrlFile(url=f"{web.url}/a.safetensors"), sha256=files.sha256(CONTENT))
    name = next(n for n in map("pod-{}".format, range(99)) if Nodes({n: 1.0, "taker": 1.0}).ranked(entry.key)[0] == n)
    (tmp_path / "taker").mkdir()
    environment, serving, control = pod_environment(tmp_path, StubTimings(), url_hosts=(web.host,))
    giver_port = int(control.rpartition(":")[2])
    async with AsyncExitStack() as stack:
        giver = await stack.enter_async_context(process(**environment))
        http = await stack.enter_async_context(httpx.AsyncClient(headers={"authorization": f"Bearer {TOKEN}"}))
        await until_ready(await stack.enter_async_context(httpx.AsyncClient(base_url=serving)), "/healthz")
        assignment = Assignment.of(name, {name: f"127.0.0.1:{giver_port}"}, {entry.key})
        await http.put(f"{control}/v1/assignment", json=assignment.model_dump(mode="json"))
        await http.put(f"{control}/v1/catalog", json=Catalog.of([entry]).model_dump(mode="json"))

        async def phase() -> str | None:
            state = PodState.model_validate_json((await http.get(f"{control}/v1/state")).content)
            return state.adapters[entry.key].phase if entry.key in state.adapters else None

        await until_read(phase, lambda found: found == AdapterPhase.READY, "the giver has the file", DEADLINE_S)
        asked_before = web.count("GET", "/a.safetensors")

        way, cut_port = await stack.enter_async_context(cut(giver_port))
        own = settings(tmp_path / "taker", config(tmp_path / "taker", url_hosts=(web.host,)), control_port=free_port())
        taker = await stack.enter_async_context(started(own))
        peers = {name: f"127.0.0.1:{cut_port}", "taker": f"127.0.0.1:{own.control_port}"}
        told = Assignment.of("taker", peers, {entry.key})
        await taker.control.put("/v1/assignment", json=told.model_dump(mode="json"))
        await taker.apply(entry)
        async with asyncio.timeout(DEADLINE_S):
            await way.has_stopped.wait()
        giver.kill()
        state = await taker.until(entry.key)
        assert state.phase is AdapterPhase.READY
        assert state.facts is not None
        assert state.facts.sha256 == files.sha256(CONTENT)
        assert web.count("GET", "/a.safetensors") > asked_before
        assert not any((own.cache / "tmp").iterdir())


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 256 KiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounting = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(folder)]
    if os.geteuid() or subprocess.run(mounting, capture_output=True, check=False).returncode:
        pytest.skip("mounting a file system takes root")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_disk_that_is_really_full_is_said_and_the_next_small_file_has_room(small_disk: Path, web: Web) -> None:
    small = files.lora_file()
    web.answers["/large"], web.answers["/small"] = Reply(body=CONTENT), Reply(body=small)
    fetcher = Fetcher(BlobFolder(small_disk), SourceRules((), (web.host,), 1 << 30))

    def fetch(name: str, content: bytes) -> Path:
        source = UrlFile(url=f"{web.url}/{name}")
        entry = CatalogEntry(key=f"default/{name}", source=source, sha256=files.sha256(content))
        return fetcher.fetch(entry, lambda: False).path

    with pytest.raises(AdapterError, match="No space left") as error:
        fetch("large", CONTENT)
    assert (error.value.reason, error.value.transient) == (Reason.POD_FAILED, True)
    assert list((small_disk / "tmp").iterdir()) == []
    assert fetch("small", small).read_bytes() == small
