"""A source that is followed: when it is looked at, and what of that reaches the pool."""

import random
from collections.abc import AsyncIterator
from itertools import pairwise
from typing import Any

import pytest
from tests import make
from tests.virtual_time import elapse, now_s, rest

from lorapool_api.fetch.policy import SourceRefused
from lorapool_api.kinds.adapter import Adapter
from lorapool_api.kinds.conditions import Reason
from lorapool_api.kinds.sources import AdapterSource
from lorapool_api.lora.header import FactsError
from lorapool_api.names import REFRESH_ANNOTATION
from lorapool_operator.seen.resolution import Outcome, Resolution, Resolving, Unresolved
from lorapool_operator.seen.verdict import Verdict
from lorapool_operator.sources.resolver import RESOLVED_AT_ONCE, Resolver, ResolverTimes

pytestmark = pytest.mark.virtual_time

TIMES = ResolverTimes()
HOUR_S, INTERVAL_S = 3600.0, TIMES.follow_s * 1.1
BRANCH = {"hub": {"repo": "a/b", "revision": "main"}}
URL = {"url": "https://files.example.org/x.safetensors"}
BUCKET = {"s3": {"bucket": "loras", "key": "x.safetensors", "anonymous": True}}
BROKEN = FactsError(Reason.NOT_A_LORA, "a whole model")


def of_sha256(digit: str) -> Resolution:
    return Resolution(revision=digit * 40, file="x.safetensors", sha256=digit * 64, size_bytes=5, rank=4, targets=1)


A, B = of_sha256("a"), of_sha256("b")
UNIFORM = random.Random(7).uniform  # noqa: S311


class Place:
    """What every source holds now, and when which of them was looked at."""

    def __init__(self) -> None:
        self.holds: Resolution | Exception = A
        self.looked_at: list[AdapterSource] = []
        self.times_s: list[float] = []
        self.told: list[str] = []

    async def look(self, source: AdapterSource, namespace: str) -> Resolution:
        self.looked_at.append(source)
        self.times_s.append(now_s())
        if isinstance(self.holds, Exception):
            raise self.holds
        return self.holds

    @property
    def looks(self) -> int:
        return len(self.times_s)


@pytest.fixture
def place() -> Place:
    return Place()


@pytest.fixture
async def resolver(place: Place) -> AsyncIterator[Resolver]:
    it = Resolver(place, place.told.append, now_s, TIMES, UNIFORM)
    yield it
    it.close()


def adapter(source: dict[str, Any] = BRANCH, *, follow: bool = True, name: str = "pixel", **metadata: Any) -> Adapter:
    return make.adapter(name, source=source, follow=follow, metadata=metadata)


def served(found: Resolution, source: dict[str, Any] = BRANCH, *, follow: bool = True, **status: Any) -> Adapter:
    """One that was served when the operator started; pods have told the sha256 where the source does not."""
    known = {"revision": found.revision, "file": found.file, "sha256": found.sha256 or "f" * 64, "tag": found.tag}
    version = known | {"sizeBytes": 5, "rank": 4, "targets": 1, "key": "default/pixel", "source": source}
    made = adapter(source, follow=follow, generation=9)
    return Adapter.model_validate(made.manifest() | {"status": {"serving": version} | status})


async def resolved(resolver: Resolver, it: Adapter, place: Place) -> Outcome:
    """What is known after the first look; what happened until then counts no more."""
    resolver.resolve(it)
    await rest()
    place.times_s.clear()
    place.told.clear()
    return resolver.known(it)


async def test_a_branch_that_moves_is_found_within_the_interval_and_told_once(place: Place, resolver: Resolver) -> None:
    await resolved(resolver, adapter(), place)
    await elapse(HOUR_S)
    place.holds = B
    await elapse(INTERVAL_S)
    assert resolver.known(adapter()) == B
    assert place.told == ["default/pixel"]
    await elapse(HOUR_S)
    assert place.told == ["default/pixel"]


async def test_a_source_that_stays_is_looked_at_twelve_times_an_hour_and_nobody_learns_of_it(
    place: Place, resolver: Resolver
) -> None:
    first = await resolved(resolver, adapter(), place)
    await elapse(HOUR_S)
    assert 11 <= place.looks <= 13
    assert place.told == []
    assert resolver.known(adapter()) is first


async def test_a_served_branch_is_looked_at_as_it_is_written_within_an_interval_of_a_restart(
    place: Place, resolver: Resolver
) -> None:
    it = served(A)
    place.holds = B
    resolver.resolve(it)
    await elapse(TIMES.follow_s)
    assert resolver.known(it) == B
    assert [source.hub.revision for source in place.looked_at if source.hub] == ["main"] * place.looks


async def test_a_thousand_do_not_ask_at_once_after_a_restart(place: Place, resolver: Resolver) -> None:
    for i in range(1000):
        resolver.resolve(served(A).model_copy(update={"metadata": adapter(name=f"a{i}", uid=f"u{i}").metadata}))
    began_s = now_s()
    await elapse(TIMES.follow_s)
    tenths = [int((at_s - began_s) / TIMES.follow_s * 10) for at_s in place.times_s]
    # 100 are to be expected in each; six standard deviations.
    assert max(map(tenths.count, range(10))) < 160
    assert place.told == []


async def test_the_looks_are_among_the_few_that_are_made_at_once() -> None:
    hanging = Hanging()
    it = Resolver(hanging, lambda _: None, now_s, TIMES, UNIFORM)
    for i in range(3 * RESOLVED_AT_ONCE):
        it.resolve(served(A).model_copy(update={"metadata": adapter(name=f"a{i}", uid=f"u{i}").metadata}))
    await elapse(2 * TIMES.follow_s)
    assert hanging.most == RESOLVED_AT_ONCE
    it.close()


class Hanging:
    """Never answers."""

    def __init__(self) -> None:
        self.now = self.most = 0

    async def look(self, source: AdapterSource, namespace: str) -> Resolution:
        self.now += 1
        self.most = max(self.most, self.now)
        try:
            await elapse(1e6)
        finally:
            self.now -= 1
        raise AssertionError("it was given up before")


async def test_what_is_followed_no_more_is_not_looked_at_and_stays(place: Place, resolver: Resolver) -> None:
    await resolved(resolver, adapter(), place)
    place.holds = B
    resolver.resolve(adapter(follow=False, generation=2))
    await elapse(HOUR_S)
    assert (place.looks, resolver.known(adapter(follow=False, generation=2))) == (0, A)
    resolver.resolve(adapter(generation=3))
    await elapse(TIMES.follow_s)
    assert (place.looks, resolver.known(adapter(generation=3))) == (1, B)


@pytest.mark.parametrize("stop", ["pause", "forget"])
async def test_what_is_paused_or_gone_is_not_looked_at(place: Place, resolver: Resolver, stop: str) -> None:
    it = adapter()
    await resolved(resolver, it, place)
    getattr(resolver, stop)(it.metadata.uid)
    await elapse(HOUR_S)
    assert place.looks == 0
    resolver.resolve(it)
    await elapse(TIMES.follow_s)
    assert place.looks >= 1


async def test_a_file_that_cannot_be_used_is_said_and_followed_out_of(place: Place, resolver: Resolver) -> None:
    it = served(A)
    resolver.resolve(it)
    place.holds = BROKEN
    await elapse(TIMES.follow_s)
    found = resolver.known(it)
    assert isinstance(found, Unresolved)
    assert found.verdict.reason is Reason.NOT_A_LORA
    await elapse(HOUR_S)
    assert place.told == ["default/pixel"], "the same is not said again"
    place.holds = B
    await elapse(INTERVAL_S)
    assert resolver.known(it) == B


async def test_who_stops_following_a_file_that_cannot_be_used_stays_at_the_served_one(
    place: Place, resolver: Resolver
) -> None:
    resolver.resolve(served(A))
    place.holds = BROKEN
    await elapse(TIMES.follow_s)
    looks, unfollowed = place.looks, served(A, follow=False)
    resolver.resolve(unfollowed)
    await elapse(HOUR_S)
    found = resolver.known(unfollowed)
    assert isinstance(found, Resolution)
    assert (found.sha256, place.looks) == (A.sha256, looks)


async def test_a_refusal_is_said_on_after_a_restart_until_it_is_looked_at_anew(
    place: Place, resolver: Resolver
) -> None:
    it = served(A, candidate={"source": BRANCH, "reason": "NotALora", "message": "a whole model"})
    before = resolver.known(it)
    place.holds = BROKEN
    resolver.resolve(it)
    await rest()
    assert before == Resolving(Verdict(Reason.NOT_A_LORA, "a whole model"))
    assert resolver.known(it) == Unresolved(Verdict(Reason.NOT_A_LORA, "a whole model"))


async def test_passing_trouble_changes_nothing_and_what_a_source_asks_for_is_kept(
    place: Place, resolver: Resolver
) -> None:
    first = await resolved(resolver, adapter(), place)
    place.holds = SourceRefused(Reason.SOURCE_UNAVAILABLE, "status 429", retry_after_s=1800.0)
    await elapse(2 * HOUR_S)
    assert min(later - sooner for sooner, later in pairwise(place.times_s)) >= 1800.0
    assert (place.looks, place.told) == (4, [])
    assert resolver.known(adapter()) is first
    place.holds = B
    await elapse(HOUR_S)
    assert place.told == ["default/pixel"]


async def test_the_annotation_goes_before_and_what_is_found_answers_it(place: Place, resolver: Resolver) -> None:
    await resolved(resolver, adapter(), place)
    asked = adapter(annotations={REFRESH_ANNOTATION: "now"})
    resolver.resolve(asked)
    await elapse(TIMES.again_s)
    place.holds = B
    await elapse(INTERVAL_S)
    found = resolver.known(asked)
    assert isinstance(found, Resolution)
    assert (found.sha256, found.refresh) == (B.sha256, "now")


SAME_SOURCES = [
    (BUCKET, Resolution(revision="etag-1", file="x.safetensors"), Resolution(revision="etag-2", file="x.safetensors")),
    (URL, Resolution(tag="etag-1", file="x.safetensors"), Resolution(tag="etag-2", file="x.safetensors")),
]


@pytest.mark.parametrize(("source", "before", "after"), SAME_SOURCES, ids=["bucket", "url"])
async def test_another_etag_is_another_file_and_the_same_one_is_not(
    place: Place, resolver: Resolver, source: dict[str, Any], before: Resolution, after: Resolution
) -> None:
    """Also after a restart, where the status has the sha256 that pods found."""
    it = served(before, source)
    place.holds = before
    resolver.resolve(it)
    await elapse(HOUR_S)
    assert (place.told, place.looks > 10) == ([], True)
    place.holds = after
    await elapse(INTERVAL_S)
    assert (place.told, resolver.known(it)) == (["default/pixel"], after)


async def test_an_address_that_tells_no_etag_cannot_be_followed(place: Place, resolver: Resolver) -> None:
    place.holds = Resolution(file="x.safetensors", size_bytes=5)
    await resolved(resolver, adapter(URL), place)
    place.holds = Resolution(file="x.safetensors", size_bytes=6)
    await elapse(HOUR_S)
    assert place.told == []


async def test_what_pods_alone_see_is_not_looked_at(place: Place, resolver: Resolver) -> None:
    resolver.resolve(adapter({"s3": {"bucket": "loras", "key": "x.safetensors"}}))
    await elapse(HOUR_S)
    assert place.looks == 0
