"""Small files come with the answer of the pod that has them; only the right bytes are taken."""

import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Final

import pytest
from safetensors.numpy import load, save
from tests import files
from tests.runtime.pods import TOKEN, Running, config, free_port, settings, started
from tests.web import Reply, Web, serving

from lorapool_api.rules.rendezvous import Nodes
from lorapool_api.wire.catalog import CatalogEntry
from lorapool_api.wire.fleet import Assignment, FileFound, FileQuery
from lorapool_api.wire.sources.basic import UrlFile
from lorapool_api.wire.state import AdapterPhase
from lorapool_runtime.sources.pods import carried

SMALL: Final = files.lora_file()
# Beyond what an answer carries.
LARGE: Final = save(load(SMALL), {"notes": "x" * carried.CARRIED_MAX_BYTES})


def found(content: bytes) -> FileFound:
    return FileFound(sha256=files.sha256(content), size_bytes=len(content))


@pytest.fixture
def other() -> Iterator[Web]:
    """What answers where the other pod should."""
    with serving() as web:
        yield web


@pytest.fixture
async def pod(tmp_path: Path, web: Web, other: Web) -> AsyncIterator[Running]:
    own = settings(tmp_path, config(tmp_path, url_hosts=(web.host,)), pod_name="pod-0", control_port=free_port())
    async with started(own) as pod:
        peers = {"pod-0": f"127.0.0.1:{own.control_port}", "pod-1": other.host}
        assignment = Assignment.of("pod-0", peers, [_of_the_other(peers)])
        (await pod.control.put("/v1/assignment", json=assignment.model_dump(mode="json"))).raise_for_status()
        yield pod


def _of_the_other(peers: dict[str, str]) -> str:
    """The key of an adapter whose source the other pod is to ask."""
    nodes = Nodes(dict.fromkeys(peers, 1.0))
    return next(key for key in (f"default/{n}" for n in range(100)) if nodes.ranked(key, 1) == ["pod-1"])


async def _ready(pod: Running, web: Web, content: bytes) -> Path:
    """The file on the pod's disk, of an adapter with that content."""
    web.answers["/a.safetensors"] = Reply(body=content)
    key = next(iter(pod.runtime.fleet.assignment.holds)) if pod.runtime.fleet.assignment else ""
    source = UrlFile(url=f"{web.url}/a.safetensors")
    await pod.apply(CatalogEntry(key=key, generation=1, source=source, sha256=files.sha256(content)))
    assert (await pod.until(key)).phase is AdapterPhase.READY
    return pod.runtime.settings.cache / "blobs" / files.sha256(content)


async def test_a_small_file_comes_with_the_answer(pod: Running, web: Web, other: Web) -> None:
    headers = {"content-type": carried.MEDIA_TYPE}
    other.answers["/v1/files"] = Reply(body=carried.joined(found(SMALL), SMALL), headers=headers)
    assert (await _ready(pod, web, SMALL)).read_bytes() == SMALL
    assert [method for method, _ in other.seen] == ["POST"]
    assert web.count("GET", "/a.safetensors") == 0


@pytest.mark.parametrize(
    "body",
    [
        carried.joined(found(SMALL), SMALL[:-4] + b"evil"),
        carried.joined(found(SMALL), SMALL[:-1]),
        carried.joined(found(SMALL), SMALL + SMALL),
        b"\xff\xff\xff\xff" + SMALL,
        b"",
    ],
)
async def test_an_answer_with_other_bytes_is_not_believed(pod: Running, web: Web, other: Web, body: bytes) -> None:
    other.answers["/v1/files"] = Reply(body=body, headers={"content-type": carried.MEDIA_TYPE})
    assert (await _ready(pod, web, SMALL)).read_bytes() == SMALL
    assert web.count("GET", "/a.safetensors") == 1


async def test_a_pod_of_an_earlier_version_is_asked_for_the_file_apart(pod: Running, web: Web, other: Web) -> None:
    """It knows nothing of files that come with answers."""
    text = found(SMALL).model_dump_json().encode()
    other.answers["/v1/files"] = Reply(body=text, headers={"content-type": "application/json"})
    other.answers[f"/v1/blobs/{files.sha256(SMALL)}"] = Reply(body=SMALL)
    assert (await _ready(pod, web, SMALL)).read_bytes() == SMALL
    assert web.count("GET", "/a.safetensors") == 0


@pytest.mark.parametrize(
    ("content", "carry", "is_carried"),
    [(SMALL, carried.CARRIED_MAX_BYTES, True), (SMALL, 0, False), (LARGE, 10 * len(LARGE), False)],
)
async def test_a_pod_gives_what_is_small_to_who_takes_it(
    tmp_path: Path, web: Web, content: bytes, carry: int, is_carried: bool
) -> None:
    async with started(settings(tmp_path, config(tmp_path, url_hosts=(web.host,)))) as pod:
        web.answers["/a.safetensors"] = Reply(body=content)
        source = UrlFile(url=f"{web.url}/a.safetensors")
        entry = CatalogEntry(key="default/one", generation=1, source=source)
        await pod.apply(entry)
        await pod.until("default/one", AdapterPhase.READY)
        query = FileQuery.of(entry).model_dump(mode="json")
        reply = await pod.control.post("/v1/files", params={"carry": carry}, json=query)
        assert (reply.headers["content-type"] == carried.MEDIA_TYPE) is is_carried
        if is_carried:
            assert carried.split(reply.content)[1] == content
        else:
            assert json.loads(reply.content)["sha256"] == files.sha256(content)
        assert TOKEN not in reply.text


@pytest.mark.parametrize("query", ["wait=-1", "wait=soon", "carry=nan", "carry=inf"])
async def test_a_question_with_numbers_that_are_none_is_refused(pod: Running, query: str) -> None:
    reply = await pod.control.post(f"/v1/files?{query}", json={})
    assert (reply.status_code, reply.json()["code"]) == (400, "InvalidRequest")
