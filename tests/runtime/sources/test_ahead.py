"""Thousands of files that no request waits for are brought by a process of its own, as threads would bring them."""

import asyncio
import hashlib
import os
import signal
import threading
from collections.abc import AsyncIterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Final

import pytest
from pydantic import SecretStr
from tests import files
from tests.runtime.pods import eventually
from tests.web import Reply, Web

from lorapool_api.kinds.conditions import Reason
from lorapool_api.wire.catalog import CatalogEntry
from lorapool_api.wire.credentials import TOKEN, CredentialsRef
from lorapool_api.wire.fleet import FileFound
from lorapool_api.wire.sources.basic import UrlFile
from lorapool_runtime.credentials import CredentialsNeeded
from lorapool_runtime.errors import AdapterError
from lorapool_runtime.sources.ahead.many import FilesAhead
from lorapool_runtime.sources.ahead.messages import AheadSetup
from lorapool_runtime.sources.ahead.process import NICE, AheadGone, AheadProcess
from lorapool_runtime.sources.blobs import BlobFolder
from lorapool_runtime.sources.fetch import Fetcher
from lorapool_runtime.sources.loader import FileLoader
from lorapool_runtime.sources.origins import SourceRules
from lorapool_runtime.sources.pods.peer_file import PeerFile

CONTENT: Final = files.lora_file()
SHA256: Final = hashlib.sha256(CONTENT).hexdigest()


def an_entry(web: Web, name: str = "good", **changes: object) -> CatalogEntry:
    web.answers.setdefault(f"/{name}.safetensors", Reply(body=CONTENT))
    return CatalogEntry(key=f"default/{name}", source=UrlFile(url=f"{web.url}/{name}.safetensors", **changes))


@pytest.fixture
def setup(tmp_path: Path, web: Web) -> AheadSetup:
    rules = SourceRules((), (web.url,), 10**6)
    return AheadSetup(cache=tmp_path / "cache", bound_bytes=None, rules=rules, max_rank=16)


@pytest.fixture
async def process(setup: AheadSetup) -> AsyncIterator[AheadProcess]:
    made = await AheadProcess.started(setup)
    yield made
    made.close()


def a_loader(setup: AheadSetup, ahead: FilesAhead) -> FileLoader:
    blobs = BlobFolder(setup.cache)
    return FileLoader(Fetcher(blobs, setup.rules), blobs, setup.max_rank, ahead=ahead)


async def test_it_brings_the_same_file_as_a_thread_and_gives_way_to_the_pod(
    setup: AheadSetup, process: AheadProcess, web: Web
) -> None:
    brought = (await process.fetch(an_entry(web), None, None)).file()
    loader = a_loader(setup, FilesAhead(None))
    assert brought == await loader.load(an_entry(web))
    loader.close()
    assert web.count("GET", "/good.safetensors") == 1
    assert os.getpriority(os.PRIO_PROCESS, process.pid) == os.getpriority(os.PRIO_PROCESS, 0) + NICE


@pytest.mark.parametrize("many", [0, 200], ids=["the other process", "a thread"])
async def test_what_a_file_took_is_told_where_it_was_not_here(setup: AheadSetup, web: Web, many: int) -> None:
    took_s: list[float] = []

    async def brought(entry: CatalogEntry) -> None:
        blobs, ahead = BlobFolder(setup.cache), FilesAhead(setup, many)
        loader = FileLoader(Fetcher(blobs, setup.rules), blobs, 16, ahead=ahead, on_fetched=took_s.append)
        await loader.load(entry, is_ahead=True)
        loader.close()

    await brought(an_entry(web))
    assert len(took_s) == 1
    assert took_s[0] > 0
    await brought(an_entry(web))
    assert len(took_s) == 1


async def test_what_cannot_be_served_is_refused_with_its_reason_and_leaves_nothing(
    setup: AheadSetup, process: AheadProcess, web: Web
) -> None:
    web.answers["/high.safetensors"] = Reply(body=files.lora_file(rank=17))
    answer = await process.fetch(an_entry(web, "high"), None, None)
    with pytest.raises(AdapterError) as error:
        answer.file()
    assert (error.value.reason, error.value.transient) == (Reason.RANK_TOO_HIGH, False)
    assert list((setup.cache / "blobs").iterdir()) == []


async def test_a_source_that_asks_who_one_is_gets_credentials(process: AheadProcess, web: Web) -> None:
    def guarded(asked: BaseHTTPRequestHandler) -> Reply:
        return Reply(body=CONTENT) if asked.headers["authorization"] == "Bearer of-the-test" else Reply(401)

    web.answers["/whose.safetensors"] = guarded
    entry = an_entry(web, "whose", credentials=CredentialsRef(namespace="default", secret="token"))
    with pytest.raises(CredentialsNeeded):
        (await process.fetch(entry, None, None)).file()
    assert (await process.fetch(entry, None, {TOKEN: SecretStr("of-the-test")})).file().sha256 == SHA256


async def test_a_file_that_another_pod_has_sent_is_checked_and_kept(process: AheadProcess, web: Web) -> None:
    found = FileFound(sha256=SHA256, size_bytes=len(CONTENT))
    sent = PeerFile(found, ("127.0.0.1:1",), "token", CONTENT)
    assert (await process.fetch(an_entry(web, "sent"), sent, None)).file().sha256 == SHA256
    other = PeerFile(found.model_copy(update={"sha256": "0" * 64}), ("127.0.0.1:1",), "token", CONTENT)
    assert (await process.fetch(an_entry(web, "other"), other, None)).file().sha256 == SHA256
    # What was sent as the other was not what it should be: its source was asked.
    assert (web.count("GET", "/sent.safetensors"), web.count("GET", "/other.safetensors")) == (0, 1)


async def test_a_process_that_somebody_kills_is_said_to_be_gone(process: AheadProcess, web: Web) -> None:
    over = threading.Event()
    web.answers["/slow.safetensors"] = Reply(body=CONTENT, hold=over)
    order = asyncio.ensure_future(process.fetch(an_entry(web, "slow"), None, None))
    await eventually(lambda: web.count("GET", "/slow.safetensors") == 1)
    os.kill(process.pid, signal.SIGKILL)
    with pytest.raises(AheadGone):
        await order
    over.set()
    assert process.is_gone
    with pytest.raises(AheadGone):
        await process.fetch(an_entry(web), None, None)


async def test_a_file_that_nobody_wants_any_more_is_given_up_there(
    setup: AheadSetup, process: AheadProcess, web: Web
) -> None:
    over = threading.Event()
    web.answers["/slow.safetensors"] = Reply(body=CONTENT, hold=over)
    order = asyncio.ensure_future(process.fetch(an_entry(web, "slow"), None, None))
    await eventually(lambda: web.count("GET", "/slow.safetensors") == 1)
    order.cancel()
    await asyncio.gather(order, return_exceptions=True)
    # An order behind it, so that the other side knows.
    await process.fetch(an_entry(web, "next"), None, None)
    over.set()
    await eventually(lambda: list((setup.cache / "tmp").iterdir()) == [])
    assert [blob.name for blob in (setup.cache / "blobs").iterdir()] == [SHA256]


async def test_many_files_have_a_process_until_there_is_nothing_to_do(setup: AheadSetup, web: Web) -> None:
    over, names = threading.Event(), [f"adapter-{number}" for number in range(6)]
    web.answers |= {
        f"/{name}.safetensors": Reply(body=files.lora_file(seed=n), hold=over) for n, name in enumerate(names)
    }
    ahead = FilesAhead(setup, many=5, idle_s=0.05)
    loader = a_loader(setup, ahead)
    few = [asyncio.create_task(loader.load(an_entry(web, name), is_ahead=True)) for name in names[:5]]
    wanted = asyncio.create_task(loader.load(an_entry(web, names[5])))
    await eventually(lambda: web.count("GET", f"/{names[0]}.safetensors") == 1)
    assert ahead.process is None, "few files, and one that a request waits for, need none"
    one_more = asyncio.create_task(loader.load(an_entry(web, names[5]), is_ahead=True))
    await eventually(lambda: ahead.process is not None)
    pid = ahead.process.pid if ahead.process else 0
    over.set()
    assert len({file.sha256 for file in await asyncio.gather(*few, wanted, one_more)}) == 6
    await eventually(lambda: not Path(f"/proc/{pid}").exists())
    assert ahead.process is None
    loader.close()


async def test_files_wait_for_a_process_that_starts_just_now_and_those_of_requests_do_not(
    setup: AheadSetup, web: Web
) -> None:
    may_start = asyncio.Event()

    async def late(setup: AheadSetup) -> AheadProcess:
        await may_start.wait()
        return await AheadProcess.started(setup)

    loader = a_loader(setup, FilesAhead(setup, many=0, start=late))
    patient = asyncio.create_task(loader.load(an_entry(web), is_ahead=True))
    for number in range(4):
        await loader.load(an_entry(web, f"asked-{number}"))
    assert web.count("GET", "/good.safetensors") == 0
    may_start.set()
    assert (await patient).sha256 == SHA256
    assert web.count("GET", "/good.safetensors") == 1
    loader.close()


async def test_files_come_though_their_process_has_ended(setup: AheadSetup, web: Web) -> None:
    over = threading.Event()
    web.answers |= {f"/slow-{number}.safetensors": Reply(body=CONTENT, hold=over) for number in range(2)}
    ahead = FilesAhead(setup, many=0)
    loader = a_loader(setup, ahead)
    first = await loader.load(an_entry(web), is_ahead=True)
    await eventually(lambda: ahead.process is not None)
    process = ahead.process
    assert process is not None
    slow = [asyncio.create_task(loader.load(an_entry(web, f"slow-{n}"), is_ahead=True)) for n in range(2)]
    await eventually(lambda: web.count("GET", "/slow-0.safetensors") == 1)
    os.kill(process.pid, signal.SIGKILL)
    over.set()
    assert [file.sha256 for file in await asyncio.gather(*slow)] == [first.sha256] * 2
    assert ahead.process is None, "another one is not started at once"
    loader.close()


async def test_a_pod_serves_on_where_no_process_can_be_started(setup: AheadSetup, web: Web) -> None:
    started = []

    async def cannot(setup: AheadSetup) -> AheadProcess:
        started.append(setup)
        raise AheadGone("no process could be started: no memory")

    ahead = FilesAhead(setup, many=0, start=cannot)
    loader = a_loader(setup, ahead)
    for number in range(3):
        await loader.load(an_entry(web, f"adapter-{number}"), is_ahead=True)
    assert len(started) == 1, "it is not tried again for each file"
    loader.close()
