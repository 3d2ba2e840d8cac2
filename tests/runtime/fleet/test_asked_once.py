"""Several pods of one pool: a source is asked once, and nobody waits for a pod that is gone."""

import hashlib
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Final

import pytest
from tests import files
from tests.runtime.pods import Running, config, free_port, settings, started
from tests.web import Reply, Web

from lorapool_api.kinds.conditions import Reason
from lorapool_api.rules.rendezvous import Nodes
from lorapool_api.wire.catalog import CatalogEntry
from lorapool_api.wire.fleet import Assignment
from lorapool_api.wire.sources.basic import UrlFile
from lorapool_api.wire.state import AdapterPhase

CONTENT: Final = files.lora_file()
SHA256: Final = hashlib.sha256(CONTENT).hexdigest()
KEY: Final = "default/one"
HELD: Final = frozenset({KEY, f"{KEY}@2", *(f"default/adapter-{number}" for number in range(12))})


class Pods:
    """Pods by name, each with a folder of its own."""

    def __init__(self, stack: AsyncExitStack, folder: Path, web: Web) -> None:
        self._stack = stack
        self._folder = folder
        self._web = web
        self.by_name: dict[str, Running] = {}
        self.peers: dict[str, str] = {}

    async def start(self, count: int) -> None:
        """Until there are so many."""
        for name in [f"pod-{number}" for number in range(len(self.by_name), count)]:
            folder = self._folder / name
            folder.mkdir()
            port = free_port()
            made = settings(folder, config(folder, url_hosts=(self._web.host,)), pod_name=name, control_port=port)
            self.by_name[name] = await self._stack.enter_async_context(started(made))
            self.peers[name] = f"127.0.0.1:{port}"

    async def assign(self, names: tuple[str, ...] = (), peers: dict[str, str] | None = None) -> None:
        """Tell these pods, by default all, who the others are."""
        for name in names or self.by_name:
            assignment = Assignment.of(name, self.peers if peers is None else peers, HELD)
            reply = await self.by_name[name].control.put("/v1/assignment", json=assignment.model_dump(mode="json"))
            assert reply.status_code == 200, reply.text
            assert reply.json()["assignment"] == assignment.digest

    async def apply(self, *entries: CatalogEntry, names: tuple[str, ...] = ()) -> None:
        for name in names or self.by_name:
            await self.by_name[name].apply(*entries)

    def order(self, key: str = KEY) -> list[Running]:
        """Whose turn it is, and who comes next."""
        return [self.by_name[name] for name in Nodes(dict.fromkeys(self.peers, 1.0)).ranked(key)]

    async def all_ready(self, key: str = KEY) -> None:
        for pod in self.by_name.values():
            assert (await pod.until(key)).phase is AdapterPhase.READY


@pytest.fixture
async def pods(tmp_path: Path, web: Web) -> AsyncIterator[Pods]:
    web.answers["/a.safetensors"] = Reply(body=CONTENT)
    async with AsyncExitStack() as stack:
        yield Pods(stack, tmp_path, web)


def sha256_in(pod: Running) -> str | None:
    facts = pod.runtime.state().adapters[KEY].facts
    return facts.sha256 if facts else None


def blob_of(pod: Running) -> Path:
    return pod.runtime.settings.cache / "blobs" / SHA256


def entry(web: Web, key: str = KEY, file: str = "a", sha256: str | None = SHA256) -> CatalogEntry:
    return CatalogEntry(key=key, generation=1, source=UrlFile(url=f"{web.url}/{file}.safetensors"), sha256=sha256)


@pytest.mark.parametrize("sha256", [SHA256, None])
async def test_five_pods_ask_the_source_once(pods: Pods, web: Web, sha256: str | None) -> None:
    await pods.start(5)
    await pods.assign()
    await pods.apply(entry(web, sha256=sha256))
    await pods.all_ready()
    assert web.count("GET", "/a.safetensors") == 1
    facts = [pod.runtime.state().adapters[KEY].facts for pod in pods.by_name.values()]
    assert {found.sha256 for found in facts if found is not None} == {SHA256}
    assert None not in facts


async def test_turns_are_spread_over_the_pods(pods: Pods, web: Web) -> None:
    await pods.start(3)
    await pods.assign()
    keys = sorted(key for key in HELD if key.startswith("default/adapter-"))
    for key in keys:
        web.answers[f"/{key}.safetensors"] = Reply(body=files.lora_file(seed=len(web.answers)))
    await pods.apply(*(entry(web, key, key, sha256=None) for key in keys))
    for key in keys:
        await pods.all_ready(key)
    assert [web.count("GET", f"/{key}.safetensors") for key in keys] == [1] * 12
    assert len({id(pods.order(key)[0]) for key in keys}) == 3


async def test_when_the_first_pod_is_gone_the_second_asks_for_all(pods: Pods, web: Web) -> None:
    await pods.start(4)
    first = pods.order()[0].runtime.settings.pod_name
    pods.peers[first] = f"127.0.0.1:{free_port()}"  # nobody listens there
    living = tuple(name for name in pods.by_name if name != first)
    await pods.assign(living)
    await pods.apply(entry(web), names=living)
    for name in living:
        assert (await pods.by_name[name].until(KEY)).phase is AdapterPhase.READY
    assert web.count("GET", "/a.safetensors") == 1


async def test_a_pod_that_gets_its_catalog_later_is_waited_for(pods: Pods, web: Web) -> None:
    await pods.start(2)
    await pods.assign()
    first, second = pods.order()
    await second.apply(entry(web))
    await second.until(KEY, AdapterPhase.DOWNLOADING)
    await first.apply(entry(web))
    await pods.all_ready()
    assert web.count("GET", "/a.safetensors") == 1


async def test_a_pod_that_comes_takes_its_share_from_those_that_have_it(pods: Pods, web: Web) -> None:
    keys = sorted(HELD - {KEY})
    for key in keys:
        web.answers[f"/{key}.safetensors"] = Reply(body=files.lora_file(seed=len(web.answers)))
    entries = [entry(web, key, key, sha256=None) for key in keys]
    await pods.start(1)
    await pods.assign()
    await pods.apply(*entries)
    for key in keys:
        await pods.all_ready(key)
    web.seen.clear()
    await pods.start(2)
    await pods.assign()
    await pods.apply(*entries, names=("pod-1",))
    for key in keys:
        await pods.all_ready(key)
    assert {pods.order(key)[0] is pods.by_name["pod-1"] for key in keys} == {True, False}
    assert web.seen == []


async def test_what_an_address_holds_now_is_read_once_for_all_beside_what_it_held(pods: Pods, web: Web) -> None:
    await pods.start(3)
    await pods.assign()
    before = entry(web, sha256=None)
    await pods.apply(before)
    await pods.all_ready()
    changed = files.lora_file(seed=7)
    web.answers["/a.safetensors"] = Reply(body=changed)
    key, source = f"{KEY}@2", before.source.model_copy(update={"content": "2"})
    after = before.model_copy(update={"key": key, "source": source})
    first, *others = pods.order()
    for pod in (*others, first):  # the one whose turn it is hears of it last
        await pod.apply(before, after)
    for pod in pods.by_name.values():
        state = await pod.until(key, AdapterPhase.READY)
        assert state.facts is not None
        assert state.facts.sha256 == files.sha256(changed)
        assert sha256_in(pod) == SHA256
    assert web.count("GET", "/a.safetensors") == 2


async def test_what_is_not_to_be_had_is_asked_for_once_and_all_say_why(pods: Pods, web: Web) -> None:
    web.answers["/a.safetensors"] = Reply(404)
    await pods.start(3)
    await pods.assign()
    await pods.apply(entry(web))
    for pod in pods.by_name.values():
        assert (await pod.until(KEY)).reason is Reason.SOURCE_NOT_FOUND
    assert web.count("GET", "/a.safetensors") == 1


async def test_a_peer_with_other_bytes_is_not_believed(pods: Pods, web: Web) -> None:
    await pods.start(2)
    await pods.assign()
    first, second = pods.order()
    await first.apply(entry(web))
    assert (await first.until(KEY)).phase is AdapterPhase.READY
    blob_of(first).write_bytes(CONTENT[:-4] + b"evil")
    await second.apply(entry(web))
    assert (await second.until(KEY)).phase is AdapterPhase.READY
    assert blob_of(second).read_bytes() == CONTENT
    assert web.count("GET", "/a.safetensors") == 2


async def test_pods_that_think_of_each_other_as_first_both_end(pods: Pods, web: Web) -> None:
    """While pods come and go, two may have different lists for a moment."""
    await pods.start(2)
    one, other = pods.order()
    name, its = other.runtime.settings.pod_name, one.runtime.settings.pod_name
    await pods.assign((name,))
    await pods.assign(
        (its,), {its: pods.peers[its]} | dict.fromkeys((f"pod-{n}" for n in range(9, 59)), pods.peers[name])
    )
    await pods.apply(entry(web))
    await pods.all_ready()
    assert 1 <= web.count("GET", "/a.safetensors") <= 2


async def test_a_stranger_gets_no_file_and_assigns_nothing(pods: Pods, web: Web) -> None:
    await pods.start(1)
    pod = pods.by_name["pod-0"]
    await pods.apply(entry(web))
    await pods.all_ready()
    for method, path in (("GET", f"/v1/blobs/{SHA256}"), ("POST", "/v1/files"), ("PUT", "/v1/assignment")):
        reply = await pod.control.request(method, path, headers={"authorization": "Bearer guessed"})
        assert reply.status_code == 401
    assert (await pod.control.get(f"/v1/blobs/{SHA256}")).content == CONTENT
    assert (await pod.control.get("/v1/blobs/..%2F..%2Fetc%2Fpasswd")).status_code in (400, 404)
    part = await pod.control.get(f"/v1/blobs/{SHA256}", headers={"range": "bytes=10-"})
    assert (part.status_code, part.content) == (206, CONTENT[10:])
