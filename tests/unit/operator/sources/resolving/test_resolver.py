"""When a source is resolved, and when it is tried again."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from pydantic import SecretStr
from tests import make
from tests.unit.operator.secrets import Secrets
from tests.unit.operator.sources.asking import ask
from tests.virtual_time import elapse, now_s, rest

from lorapool_api.fetch.policy import SourceRefused
from lorapool_api.kinds.adapter import Adapter
from lorapool_api.kinds.conditions import Reason
from lorapool_api.kinds.sources import HubSource
from lorapool_api.lora.facts import AdapterFacts, read_facts
from lorapool_api.lora.header import FactsError, parse_header
from lorapool_api.names import REFRESH_ANNOTATION
from lorapool_operator.seen.resolution import Outcome, Resolution, Resolving, Unresolved
from lorapool_operator.seen.verdict import Verdict
from lorapool_operator.sources.artifacts.clients import ArtifactClients
from lorapool_operator.sources.header import HeaderText
from lorapool_operator.sources.hub import HubRepoFile
from lorapool_operator.sources.look import SourceReader
from lorapool_operator.sources.resolver import RESOLVED_AT_ONCE, Resolver, ResolverTimes

pytestmark = pytest.mark.virtual_time

TIMES = ResolverTimes()
AWAY = SourceRefused(Reason.SOURCE_UNAVAILABLE, "status 503")
MISSING = SourceRefused(Reason.SOURCE_NOT_FOUND, "no repository of the Hub")
BROKEN = FactsError(Reason.NOT_A_LORA, "a whole model")


class Hub:
    """Repositories in memory, each with a file of that rank or an error; answers at once, or after a time."""

    def __init__(self) -> None:
        self.repos: dict[str, int | Exception] = {"a/b": 4}
        self.asked: list[str] = []
        self.takes_s = 0.0
        self.at_once = self.most_at_once = 0

    async def find(self, source: HubSource, token: SecretStr | None) -> HubRepoFile:
        self.asked.append(source.repo)
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            await asyncio.sleep(self.takes_s)
        finally:
            self.at_once -= 1
        found = self.repos[source.repo]
        if isinstance(found, Exception):
            raise found
        return HubRepoFile("c" * 40, source.repo, "a" * 64, 5, (), source.repo)

    async def of_hub(self, url: str, token: SecretStr | None) -> HeaderText:
        rank = self.repos[url]
        assert isinstance(rank, int)
        text, size = make.safetensors_header({"unet.a.lora_A.weight": (rank, 32), "unet.a.lora_B.weight": (16, rank)})
        return HeaderText(text, size)

    async def of_url(self, url: str, token: SecretStr | None) -> HeaderText:
        raise NotImplementedError

    async def of_object(self, url: str, shown: str, *, is_provider: bool, is_signed: bool) -> HeaderText:
        raise NotImplementedError

    async def read(self, header: HeaderText) -> AdapterFacts:
        return read_facts(parse_header(header.text, header.size_bytes))


@pytest.fixture
async def hub() -> Hub:
    return Hub()


@pytest.fixture
async def resolver(hub: Hub) -> AsyncIterator[Resolver]:
    it = Resolver(SourceReader(hub, hub, hub, ArtifactClients(()), Secrets()), lambda _: None, now_s, TIMES)
    yield it
    it.close()


def from_hub(repo: str = "a/b", name: str = "pixel", **metadata: Any) -> Adapter:
    return make.adapter(name, source={"hub": {"repo": repo}}, metadata=metadata)


async def outcome(resolver: Resolver, adapter: Adapter) -> Outcome:
    """What is known as soon as an attempt that takes no time is over."""
    ask(resolver, adapter)
    await rest()
    return resolver.known(adapter)


async def test_a_source_is_resolved_once_whatever_else_is_edited(hub: Hub, resolver: Resolver) -> None:
    first = await outcome(resolver, from_hub())
    assert isinstance(first, Resolution)
    for generation in range(2, 20):
        assert await outcome(resolver, from_hub(generation=generation)) is first
        await elapse(TIMES.recheck_s)
    assert len(hub.asked) == 1


async def test_nothing_starts_before_it_is_asked_for(hub: Hub, resolver: Resolver) -> None:
    assert resolver.known(from_hub()) == Resolving()
    await elapse(TIMES.recheck_s)
    assert hub.asked == []


async def test_the_annotation_asks_for_a_new_attempt(hub: Hub, resolver: Resolver) -> None:
    first = await outcome(resolver, from_hub())
    hub.repos["a/b"] = 8
    asked = from_hub(annotations={REFRESH_ANNOTATION: "today"})
    assert await outcome(resolver, asked) is first, "pods serve on until the new attempt is done"
    await elapse(TIMES.again_s)
    later = resolver.known(asked)
    assert isinstance(later, Resolution)
    assert later.rank == 8


async def test_a_loop_of_edits_of_a_refused_adapter_makes_no_loop_of_attempts(hub: Hub, resolver: Resolver) -> None:
    hub.repos["a/b"] = BROKEN
    for generation in range(1, 100):
        assert isinstance(await outcome(resolver, from_hub(generation=generation)), Unresolved)
        await elapse(1.0)
    assert 3 <= len(hub.asked) <= 5
    hub.repos["a/b"] = 4
    ask(resolver, from_hub(generation=200))
    await elapse(TIMES.again_s)
    assert isinstance(resolver.known(from_hub(generation=200)), Resolution)


async def test_another_source_takes_nothing_over_from_the_one_before(hub: Hub, resolver: Resolver) -> None:
    hub.repos["a/c"] = 8
    await outcome(resolver, from_hub("a/b"))
    edited = from_hub("a/c", generation=2)
    assert isinstance(resolver.known(edited), Resolving)
    found = await outcome(resolver, edited)
    assert isinstance(found, Resolution)
    assert found.rank == 8


async def test_passing_trouble_is_tried_again_after_growing_pauses(hub: Hub, resolver: Resolver) -> None:
    hub.repos["a/b"] = AWAY
    assert isinstance(await outcome(resolver, from_hub()), Unresolved)
    await elapse(60.0)
    assert 4 <= len(hub.asked) <= 6
    hub.repos["a/b"] = 4
    await elapse(TIMES.recheck_s)
    assert isinstance(resolver.known(from_hub()), Resolution)


async def test_a_known_file_stays_known_while_the_way_to_it_is_disturbed(hub: Hub, resolver: Resolver) -> None:
    first = await outcome(resolver, from_hub())
    hub.repos["a/b"] = AWAY
    ask(resolver, from_hub(annotations={REFRESH_ANNOTATION: "now"}))
    await elapse(TIMES.again_s + 20.0)
    assert len(hub.asked) > 2
    assert resolver.known(from_hub()) is first


async def test_what_is_missing_is_tried_again_after_minutes_and_a_broken_file_never(
    hub: Hub, resolver: Resolver
) -> None:
    hub.repos |= {"a/b": MISSING, "a/broken": BROKEN}
    broken = from_hub("a/broken", "broken")
    await outcome(resolver, broken)
    await outcome(resolver, from_hub())
    await elapse(3 * TIMES.recheck_s)
    assert (hub.asked.count("a/b"), hub.asked.count("a/broken")) == (4, 1)
    hub.repos["a/b"] = 4
    await elapse(TIMES.recheck_s)
    assert isinstance(resolver.known(from_hub()), Resolution)


async def test_a_few_are_resolved_at_once(hub: Hub, resolver: Resolver) -> None:
    hub.takes_s = 10.0
    hub.repos = {f"a/r{i}": 4 for i in range(3 * RESOLVED_AT_ONCE)}
    adapters = [from_hub(repo, repo[2:]) for repo in hub.repos]
    for adapter in adapters:
        ask(resolver, adapter)
    await elapse(30.0)
    assert all(isinstance(resolver.known(a), Resolution) for a in adapters)
    assert hub.most_at_once == RESOLVED_AT_ONCE


async def test_a_source_that_hangs_is_given_up(hub: Hub, resolver: Resolver) -> None:
    hub.takes_s = 1e6
    ask(resolver, from_hub())
    await elapse(TIMES.timeout_s)
    found = resolver.known(from_hub())
    assert isinstance(found, Unresolved)
    assert found.verdict.reason is Reason.SOURCE_UNAVAILABLE
    assert "no answer within 60 s" in found.verdict.message


async def test_what_is_forgotten_is_tried_no_more(hub: Hub, resolver: Resolver) -> None:
    hub.repos["a/b"] = AWAY
    await outcome(resolver, from_hub())
    resolver.forget(from_hub().metadata.uid)
    await elapse(TIMES.recheck_s)
    assert len(hub.asked) == 1


async def test_after_a_restart_what_the_status_says_is_taken_over_without_an_attempt(
    hub: Hub, resolver: Resolver
) -> None:
    known = {"revision": "c" * 40, "file": "x", "sha256": "a" * 64, "sizeBytes": 5, "rank": 4, "targets": 1}
    conditions = [
        {"type": t, "status": "True", "reason": r, "message": "", "observedGeneration": 1}
        for t, r in (("Resolved", "Resolved"), ("Compatible", "Compatible"))
    ]
    status = {"observedGeneration": 1, "resolved": known, "conditions": conditions}
    adapter = Adapter.model_validate(from_hub().manifest() | {"status": status})
    found = await outcome(resolver, adapter)
    assert isinstance(found, Resolution)
    assert (found.revision, found.sha256, found.rank) == ("c" * 40, "a" * 64, 4)
    assert hub.asked == []


async def test_pods_alone_see_paths(resolver: Resolver, hub: Hub) -> None:
    assert isinstance(await outcome(resolver, make.adapter()), Resolution)
    assert hub.asked == []


async def test_a_grant_that_comes_later_heals_by_itself(hub: Hub) -> None:
    again = SourceRefused(Reason.SECRET_FORBIDDEN, "run kubectl create role", retry_after_s=10.0)
    hub.repos["a/b"] = again
    resolver = Resolver(SourceReader(hub, hub, hub, ArtifactClients(()), Secrets()), lambda _: None, now_s, TIMES)
    adapter = from_hub()
    ask(resolver, adapter)
    await elapse(1)
    assert ask(resolver, adapter) == Unresolved(Verdict(Reason.SECRET_FORBIDDEN, "run kubectl create role"))
    hub.repos["a/b"] = 4
    await elapse(10)
    assert isinstance(ask(resolver, adapter), Resolution)
    resolver.close()
