"""What is resolved of an adapter that is served, and what is taken from its status."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from tests import make
from tests.unit.operator.sources.asking import ask
from tests.virtual_time import elapse, now_s, rest

from lorapool_api.kinds.adapter import Adapter
from lorapool_api.kinds.sources import AdapterSource
from lorapool_api.names import REFRESH_ANNOTATION
from lorapool_operator.seen.resolution import Resolution, Resolving
from lorapool_operator.sources.resolver import Resolver, ResolverTimes

pytestmark = pytest.mark.virtual_time

TIMES = ResolverTimes()
A, B = "a" * 64, "b" * 64


class Places:
    """What each repository or address holds now."""

    def __init__(self) -> None:
        self.holds: dict[str, Resolution] = {}
        self.looked_at: list[str] = []

    async def look(self, source: AdapterSource, namespace: str) -> Resolution:
        at = f"{source.hub.repo}@{source.hub.revision}" if source.hub else str(source.url)
        self.looked_at.append(at)
        return self.holds[at.partition("@")[0]]


@pytest.fixture
def places() -> Places:
    return Places()


@pytest.fixture
async def resolver(places: Places) -> AsyncIterator[Resolver]:
    it = Resolver(places, lambda _: None, now_s, TIMES)
    yield it
    it.close()


def hub(repo: str) -> dict[str, Any]:
    return {"hub": {"repo": repo, "revision": "main"}}


def version(source: dict[str, Any], sha256: str, **more: Any) -> dict[str, Any]:
    known = {"revision": sha256[:40], "file": "x", "sizeBytes": 5, "rank": 4, "targets": 1, "key": "default/pixel"}
    return known | {"source": source, "sha256": sha256} | more


def adapter(source: dict[str, Any], generation: int = 9, refresh: str | None = None, **status: Any) -> Adapter:
    annotations = {} if refresh is None else {REFRESH_ANNOTATION: refresh}
    made = make.adapter(source=source, metadata={"generation": generation, "annotations": annotations})
    return Adapter.model_validate(made.manifest() | {"status": status})


async def test_a_served_branch_stays_at_its_commit_whatever_was_edited_while_nobody_looked(
    places: Places, resolver: Resolver
) -> None:
    served = adapter(hub("a/b"), serving=version(hub("a/b"), A, generation=1))
    found = ask(resolver, served)
    await elapse(TIMES.recheck_s)
    assert isinstance(found, Resolution)
    assert (found.revision, found.sha256) == (A[:40], A)
    assert places.looked_at == []


async def test_an_edit_back_is_not_resolved_again(places: Places, resolver: Resolver) -> None:
    serving, previous = version(hub("c/d"), B, key="default/pixel@1"), version(hub("a/b"), A)
    found = ask(resolver, adapter(hub("a/b"), serving=serving, previous=previous))
    await elapse(TIMES.recheck_s)
    assert isinstance(found, Resolution)
    assert found.sha256 == A
    assert places.looked_at == []


async def test_a_roll_out_goes_on_after_a_restart(places: Places, resolver: Resolver) -> None:
    rival = version(hub("a/b"), B, key="default/pixel@1", reason="Loading", message="", refresh="today")
    found = ask(resolver, adapter(hub("a/b"), refresh="today", serving=version(hub("a/b"), A), candidate=rival))
    await rest()
    assert isinstance(found, Resolution)
    assert found.sha256 == B
    assert places.looked_at == []


async def test_what_was_wrong_with_a_candidate_is_said_until_it_is_known_anew(
    places: Places, resolver: Resolver
) -> None:
    places.holds["c/d"] = Resolution(sha256=B, size_bytes=5)
    rival = {"source": hub("c/d"), "reason": "SourceNotFound", "message": "no such file"}
    asked = adapter(hub("c/d"), serving=version(hub("a/b"), A), candidate=rival)
    before = resolver.known(asked)
    assert isinstance(before, Resolving)
    assert before.last is not None
    assert before.last.reason == "SourceNotFound"
    ask(resolver, asked)
    await rest()
    assert resolver.known(asked) == places.holds["c/d"]


async def test_an_annotation_that_changed_while_nobody_looked_is_seen(places: Places, resolver: Resolver) -> None:
    places.holds["a/b"] = Resolution(sha256=B, size_bytes=5)
    asked = adapter(hub("a/b"), refresh="today", serving=version(hub("a/b"), A))
    ask(resolver, asked)
    await rest()
    found = resolver.known(asked)
    assert isinstance(found, Resolution)
    assert (found.sha256, found.refresh) == (B, "today")
    assert places.looked_at == ["a/b@main"]


async def test_a_pin_that_the_known_file_does_not_have_asks_for_a_new_look(places: Places, resolver: Resolver) -> None:
    places.holds["a/b"] = Resolution(sha256=A, size_bytes=5)
    ask(resolver, adapter(hub("a/b"), generation=1))
    await rest()
    places.holds["a/b"] = Resolution(sha256=B, size_bytes=5)
    made = adapter(hub("a/b"), generation=2)
    pinned = made.model_copy(update={"spec": made.spec.model_copy(update={"sha256": B})})
    ask(resolver, pinned)
    await elapse(TIMES.again_s)
    found = resolver.known(pinned)
    assert isinstance(found, Resolution)
    assert found.sha256 == B


async def test_a_served_file_that_does_not_fit_is_looked_at_again_where_it_was(
    places: Places, resolver: Resolver
) -> None:
    """The base may be another one now; the branch may have moved, which nobody asked for."""
    places.holds["a/b"] = Resolution(sha256=A, size_bytes=5, revision=A[:40])
    misfit = {"type": "Compatible", "status": "False", "reason": "BaseModelMismatch", "message": "16 x 64"}
    asked = adapter(hub("a/b"), serving=version(hub("a/b"), A), conditions=[misfit])
    ask(resolver, asked)
    await rest()
    assert places.looked_at == [f"a/b@{A[:40]}"]
