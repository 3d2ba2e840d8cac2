"""Adapters on the Hub and at addresses: found, read by their header alone, looked at again when it makes sense."""

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from tests import make
from tests.files import lora_file, sha256, whole_model_file
from tests.operator_hub import COMMIT, FakeHub, Repo

from lorapool_api.fetch.hub_files import choose_file
from lorapool_api.fetch.policy import SourceRefused
from lorapool_api.kinds.adapter import Adapter
from lorapool_api.kinds.conditions import Reason
from lorapool_api.kinds.sources import HubSource
from lorapool_api.lora.header import FactsError
from lorapool_api.names import REFRESH_ANNOTATION
from lorapool_operator.seen.resolution import Outcome, Resolution, Resolving, Unresolved
from lorapool_operator.sources.facts import FactsReader
from lorapool_operator.sources.header import Headers
from lorapool_operator.sources.hub import HubClient, base_models
from lorapool_operator.sources.resolver import Resolver, ResolverTimes

NAME = "pytorch_lora_weights.safetensors"


class Clock:
    """Stands still until it is told."""

    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


Resolvers = Callable[[ResolverTimes], Resolver]


@pytest.fixture
def resolvers(hub: FakeHub, headers: Headers, clock: Clock) -> Iterator[Resolvers]:
    """Makes resolvers."""
    with ExitStack() as stack:

        def make_one(times: ResolverTimes) -> Resolver:
            facts = FactsReader()
            it = Resolver(HubClient(hub.url), headers, facts, lambda _: None, clock, times)
            stack.callback(facts.close)
            stack.callback(it.close)
            return it

        yield make_one


@pytest.fixture
async def resolver(resolvers: Resolvers) -> Resolver:
    return resolvers(ResolverTimes())


def ask(resolver: Resolver, adapter: Adapter) -> Outcome:
    """What is known, as a pass learns it."""
    resolver.resolve(adapter)
    return resolver.known(adapter)


async def outcome(
    resolver: Resolver, adapter: Adapter, holds: Callable[[Outcome], bool] = lambda o: not isinstance(o, Resolving)
) -> Outcome:
    """The outcome, once it is there."""
    async with asyncio.timeout(10):
        while not holds(found := ask(resolver, adapter)):  # noqa: ASYNC110 -- polls, with a deadline
            await asyncio.sleep(0.01)
    return found


async def resolved(resolver: Resolver, adapter: Adapter) -> Resolution:
    found = await outcome(resolver, adapter)
    assert isinstance(found, Resolution), found
    return found


async def refused(resolver: Resolver, adapter: Adapter) -> tuple[str, str]:
    found = await outcome(resolver, adapter)
    assert isinstance(found, Unresolved), found
    return found.verdict.reason, found.verdict.message


def from_hub(repo: str = "a/b", metadata: Any = None, **more: Any) -> Adapter:
    return make.adapter(source={"hub": {"repo": repo} | more}, metadata=metadata)


def from_url(hub: FakeHub, file: str) -> Adapter:
    return make.adapter(source={"url": f"{hub.url}/plain/{file}"})


# ---- the Hub


@pytest.mark.parametrize(
    ("files", "wanted", "found"),
    [
        (["a.safetensors", NAME], None, NAME),
        (["b.safetensors", "c.safetensors"], None, "b.safetensors"),
        (["embeddings.safetensors", "z.safetensors"], None, "z.safetensors"),
        (["style_emb.safetensors", "style.safetensors"], None, "style.safetensors"),
        (["README.md", "model.bin"], None, None),
        (["a.safetensors", "sub/b.safetensors"], "sub/b.safetensors", "sub/b.safetensors"),
        (["a.safetensors"], "b.safetensors", None),
    ],
)
def test_the_weights_file_is_chosen_as_people_name_them(
    files: list[str], wanted: str | None, found: str | None
) -> None:
    assert choose_file(files, wanted) == found


async def test_cards_name_one_base_or_several(hub: FakeHub) -> None:
    hub.repos = {
        "a/one": Repo({NAME: lora_file()}, base_model="x/base"),
        "a/two": Repo({NAME: lora_file()}, base_model=["x/base", "y/base"]),
        "a/none": Repo({NAME: lora_file()}),
    }
    found = [(await HubClient(hub.url).find(HubSource(repo=r))).base_models for r in ("a/one", "a/two", "a/none")]
    assert found == [("x/base",), ("x/base", "y/base"), ()]
    assert base_models(None) == ()


async def test_a_description_of_a_repository_is_read_no_further_than_it_may_be_long(hub: FakeHub) -> None:
    hub.repos["a/b"] = Repo({f"{number}.safetensors": b"" for number in range(1000)})
    with pytest.raises(SourceRefused, match="more than 65536 bytes") as error:
        await HubClient(hub.url, max_answer_bytes=65536).find(HubSource(repo="a/b"))
    assert error.value.reason is Reason.FILE_TOO_LARGE


async def test_a_repository_that_has_moved_is_followed(hub: FakeHub) -> None:
    hub.repos["new/name"] = Repo({NAME: lora_file()})
    hub.moved["old/name"] = "new/name"
    assert (await HubClient(hub.url).find(HubSource(repo="old/name"))).file == NAME


async def test_a_hub_file_is_known_without_its_download(hub: FakeHub, resolver: Resolver) -> None:
    content = lora_file(rank=8) + b""
    hub.repos["a/b"] = Repo({NAME: content})
    found = await resolved(resolver, from_hub())
    assert (found.revision, found.file, found.sha256) == (COMMIT, NAME, sha256(content))
    assert (found.rank, found.targets, found.size_bytes) == (8, 1, len(content))


async def test_a_large_file_costs_only_its_header(hub: FakeHub, resolver: Resolver) -> None:
    hub.repos["a/b"] = Repo({NAME: lora_file(rank=60_000)})
    found = await resolved(resolver, from_hub())
    assert found.size_bytes is not None
    assert found.size_bytes > 10_000_000
    assert hub.sent_bytes < 300_000


@pytest.mark.parametrize(
    ("repo", "reason", "words"),
    [
        (None, Reason.SOURCE_NOT_FOUND, "no repository of the Hub, or it is private"),
        (Repo({}, status=401, error_code="GatedRepo"), Reason.SOURCE_FORBIDDEN, "gated"),
        (Repo({}, status=403), Reason.SOURCE_FORBIDDEN, "HTTP 403"),
        (Repo({}, status=429), Reason.SOURCE_UNAVAILABLE, "429"),
        (Repo({}, status=500), Reason.SOURCE_UNAVAILABLE, "500"),
        (Repo({"other.bin": b"x"}), Reason.SOURCE_NOT_FOUND, "no safetensors file"),
        (Repo({NAME: whole_model_file()}), Reason.NOT_A_LORA, "whole model"),
        (Repo({NAME: lora_file()[:-4]}), Reason.INVALID_WEIGHTS, "cut off"),
        (Repo({NAME: b""}), Reason.INVALID_WEIGHTS, ""),
        (Repo({NAME: b"PK\x03\x04" + b"x" * 100}), Reason.INVALID_WEIGHTS, "pickle"),
    ],
)
async def test_what_is_wrong_on_the_hub_is_told(
    hub: FakeHub, resolver: Resolver, repo: Repo | None, reason: Reason, words: str
) -> None:
    if repo is not None:
        hub.repos["a/b"] = repo
    found = await refused(resolver, from_hub())
    assert found[0] is reason
    assert words in found[1]


async def test_a_revision_that_does_not_exist_is_named(hub: FakeHub, resolver: Resolver) -> None:
    hub.repos["a/b"] = Repo({NAME: lora_file()})
    assert await refused(resolver, from_hub(revision="v9")) == (
        Reason.SOURCE_NOT_FOUND,
        "a/b at v9 has no such revision",
    )


async def test_a_hub_that_is_away_is_no_verdict_on_the_adapter(headers: Headers) -> None:
    resolver = Resolver(HubClient("http://127.0.0.1:1"), headers, FactsReader(), lambda _: None)
    assert (await refused(resolver, from_hub()))[0] is Reason.SOURCE_UNAVAILABLE
    resolver.close()


# ---- addresses


async def test_a_server_without_ranges_is_left_as_soon_as_the_header_is_there(hub: FakeHub, resolver: Resolver) -> None:
    hub.ranges = False
    hub.plain["x.safetensors"] = content = lora_file(rank=300_000)
    found = await resolved(resolver, from_url(hub, "x.safetensors"))
    assert (found.size_bytes, found.sha256, found.file) == (len(content), None, "x.safetensors")
    assert len(content) > 50_000_000
    assert hub.sent_bytes < len(content) / 2


async def test_a_redirect_may_not_leave_the_allowed_hosts(hub: FakeHub, resolver: Resolver) -> None:
    hub.redirects["x.safetensors"] = "http://169.254.169.254/latest/meta-data"
    reason, message = await refused(resolver, from_url(hub, "x.safetensors"))
    assert reason is Reason.SOURCE_FORBIDDEN
    assert "169.254.169.254" in message


async def test_a_redirect_within_them_is_followed_and_a_circle_is_left(hub: FakeHub, resolver: Resolver) -> None:
    hub.plain["real.safetensors"] = lora_file()
    hub.redirects |= {"moved.safetensors": "/plain/real.safetensors", "circle.safetensors": "/plain/circle.safetensors"}
    assert (await resolved(resolver, from_url(hub, "moved.safetensors"))).rank == 4
    circle = make.adapter("circle", source={"url": f"{hub.url}/plain/circle.safetensors"})
    reason, message = await refused(resolver, circle)
    assert reason is Reason.SOURCE_NOT_FOUND
    assert "redirects" in message


async def test_a_signature_in_an_address_is_never_shown(hub: FakeHub, headers: Headers) -> None:
    with pytest.raises(SourceRefused) as caught:
        await headers.of_url(f"{hub.url}/plain/x?sig=secret")
    assert caught.value.reason is Reason.SOURCE_NOT_FOUND
    assert "secret" not in caught.value.message


async def test_a_header_longer_than_the_first_piece_is_read_with_a_second(hub: FakeHub) -> None:
    hub.plain = {"x": lora_file(), "y": b"\xff" * 64}
    async with Headers((hub.host,), first_bytes=16) as headers:
        header = await headers.of_url(f"{hub.url}/plain/x")
        assert (header.size_bytes, header.text[:1]) == (len(lora_file()), b"{")
        with pytest.raises(FactsError):
            await headers.of_url(f"{hub.url}/plain/y")


# ---- when to look


async def test_a_source_is_looked_at_once_whatever_else_is_edited(hub: FakeHub, resolver: Resolver) -> None:
    hub.repos["a/b"] = Repo({NAME: lora_file()})
    first = await resolved(resolver, from_hub())
    hub.repos["a/b"].commit = "d" * 40
    for generation in range(2, 20):
        assert ask(resolver, from_hub(metadata={"generation": generation})) is first
        await asyncio.sleep(0)
    assert hub.infos == 1


async def test_the_annotation_asks_for_a_new_look(hub: FakeHub, resolver: Resolver, clock: Clock) -> None:
    hub.repos["a/b"] = Repo({NAME: lora_file()})
    first = await resolved(resolver, from_hub())
    hub.repos["a/b"].commit = moved = "d" * 40
    clock.now_s = 1000.0
    asked = from_hub(metadata={"annotations": {REFRESH_ANNOTATION: "today"}})
    assert ask(resolver, asked) is first, "pods serve on until the new look is done"
    later = await outcome(resolver, asked, lambda o: o is not first)
    assert isinstance(later, Resolution)
    assert later.revision == moved


async def test_a_loop_of_edits_of_a_refused_adapter_makes_no_loop_of_looks(
    hub: FakeHub, resolver: Resolver, clock: Clock
) -> None:
    repo = hub.repos["a/b"] = Repo({NAME: whole_model_file()})
    assert (await refused(resolver, from_hub()))[0] is Reason.NOT_A_LORA
    repo.files = {NAME: lora_file()}
    for generation in range(2, 20):
        ask(resolver, from_hub(metadata={"generation": generation}))
        await asyncio.sleep(0)
    assert hub.infos == 1
    resolver.forget(from_hub().metadata.uid)
    hub.repos["a/b"] = Repo({NAME: whole_model_file()})
    assert (await refused(resolver, from_hub()))[0] is Reason.NOT_A_LORA
    hub.repos["a/b"] = Repo({NAME: lora_file()})
    clock.now_s = 1000.0
    edited = from_hub(metadata={"generation": 20})
    await outcome(resolver, edited, lambda o: isinstance(o, Resolution))


async def test_another_source_takes_nothing_over_from_the_one_before(hub: FakeHub, resolver: Resolver) -> None:
    hub.repos |= {"a/b": Repo({NAME: lora_file()}), "a/c": Repo({NAME: lora_file(rank=8)})}
    await resolved(resolver, from_hub("a/b"))
    edited = from_hub("a/c", metadata={"generation": 2})
    assert isinstance(ask(resolver, edited), Resolving)
    assert (await resolved(resolver, edited)).rank == 8


async def test_passing_trouble_is_tried_again_and_a_known_file_stays_known(
    hub: FakeHub, resolvers: Resolvers, clock: Clock
) -> None:
    resolver = resolvers(ResolverTimes(first_retry_s=0.02, recheck_s=0.02))
    repo = hub.repos["a/b"] = Repo({NAME: lora_file()}, status=503)
    assert (await refused(resolver, from_hub()))[0] is Reason.SOURCE_UNAVAILABLE
    repo.status = 200
    await outcome(resolver, from_hub(), lambda o: isinstance(o, Resolution))
    repo.status = 503
    edited, infos = from_hub(metadata={"annotations": {REFRESH_ANNOTATION: "now"}}), hub.infos
    clock.now_s = 1000.0
    ask(resolver, edited)
    async with asyncio.timeout(5):
        while hub.infos < infos + 2:  # noqa: ASYNC110 -- polls, with a deadline
            await asyncio.sleep(0.01)
    assert isinstance(ask(resolver, edited), Resolution)


async def test_what_is_missing_is_looked_at_again_after_minutes_and_a_broken_file_never(
    hub: FakeHub, resolvers: Resolvers
) -> None:
    resolver = resolvers(ResolverTimes(recheck_s=0.05))
    hub.repos["a/broken"] = Repo({NAME: b"x" * 100})
    broken = make.adapter("broken", source={"hub": {"repo": "a/broken"}})
    assert (await refused(resolver, broken))[0] is Reason.INVALID_WEIGHTS
    assert (await refused(resolver, from_hub()))[0] is Reason.SOURCE_NOT_FOUND
    ask(resolver, broken)
    async with asyncio.timeout(10):
        while hub.asked.count("a/b") < 4:  # noqa: ASYNC110 -- polls, with a deadline
            await asyncio.sleep(0.01)
    hub.repos["a/b"] = Repo({NAME: lora_file()})
    await outcome(resolver, from_hub(), lambda o: isinstance(o, Resolution))
    assert hub.asked.count("a/broken") == 1


async def test_at_most_eight_are_looked_at_at_once(hub: FakeHub, resolver: Resolver) -> None:
    hub.delay_s = 0.02
    hub.repos = {f"a/r{i}": Repo({NAME: lora_file()}) for i in range(30)}
    adapters = [make.adapter(f"r{i}", source={"hub": {"repo": f"a/r{i}"}}) for i in range(30)]
    for adapter in adapters:
        ask(resolver, adapter)
    await asyncio.gather(*(resolved(resolver, a) for a in adapters))
    assert 1 < hub.most_concurrent <= 8


async def test_a_source_that_hangs_is_given_up(hub: FakeHub, resolvers: Resolvers) -> None:
    resolver = resolvers(ResolverTimes(timeout_s=0.1))
    hub.delay_s = 5
    began = time.monotonic()
    reason, message = await refused(resolver, from_hub())
    assert reason is Reason.SOURCE_UNAVAILABLE
    assert "no answer" in message
    assert time.monotonic() - began < 3


async def test_after_a_restart_what_the_status_says_is_taken_over_without_a_look(
    hub: FakeHub, resolver: Resolver
) -> None:
    known = {"revision": COMMIT, "file": NAME, "sha256": "a" * 64, "sizeBytes": 5, "rank": 4, "targets": 1}
    conditions = [
        {"type": t, "status": "True", "reason": r, "message": "", "observedGeneration": 1}
        for t, r in (("Resolved", "Resolved"), ("Compatible", "Compatible"))
    ]
    status = {"observedGeneration": 1, "resolved": known, "conditions": conditions}
    before = from_hub()
    adapter = Adapter.model_validate(before.manifest() | {"status": status})
    found = ask(resolver, adapter)
    assert isinstance(found, Resolution)
    assert (found.revision, found.sha256, found.rank) == (COMMIT, "a" * 64, 4)
    assert hub.infos == 0


async def test_pods_look_at_paths(resolver: Resolver, hub: FakeHub) -> None:
    assert isinstance(ask(resolver, make.adapter()), Resolution)
    assert hub.infos == 0
