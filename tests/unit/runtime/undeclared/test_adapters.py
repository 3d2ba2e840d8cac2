"""Adapters that no LoraAdapter declares, in a pod: looked up once, bounded, beside the catalog."""

import asyncio
import threading
from dataclasses import dataclass, field

import pytest
from tests.unit.runtime.catalog.bench import Bench, entry
from tests.waiting import until

from lorapool_api.kinds.conditions import Reason
from lorapool_api.rules.undeclared import undeclared_key
from lorapool_api.wire.catalog import CatalogEntry
from lorapool_api.wire.reply import ErrorCode
from lorapool_api.wire.sources.basic import PathFile
from lorapool_api.wire.state import AdapterPhase
from lorapool_runtime.errors import AdapterError, RequestError
from lorapool_runtime.undeclared.adapters import FRESH_S, REFUSED_S, UndeclaredAdapters


@dataclass
class Hub:
    """What looking up comes to."""

    refusals: dict[str, AdapterError] = field(default_factory=dict)
    paths: dict[str, str] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    release: threading.Event | None = None

    def look(self, repo: str) -> CatalogEntry:
        self.asked.append(repo)
        if self.release is not None:
            assert self.release.wait(30)
        if repo in self.refusals:
            raise self.refusals[repo]
        return CatalogEntry(key=undeclared_key(repo), source=PathFile(path=self.paths.get(repo, f"/a/{repo}")))


class Pod:
    """A registry, and what is brought beside its catalog."""

    def __init__(self, most: int = 3) -> None:
        self.now_s = 0.0
        self.hub, self.bench = Hub(), Bench()
        self.undeclared = UndeclaredAdapters(self.bench.registry, self.hub.look, most, lambda: self.now_s)

    async def bring(self, repo: str) -> None:
        key = undeclared_key(repo)
        await self.undeclared.admit((key,))
        await self.bench.registry.weights.until_loaded((key,), 30.0)

    @property
    def there(self) -> set[str]:
        return set(self.bench.registry.tiers.all())


@pytest.fixture
def pod() -> Pod:
    return Pod()


async def test_it_is_looked_up_once_and_served_as_any_other(pod: Pod) -> None:
    for _ in range(3):
        await pod.bring("a/b")
    assert (pod.hub.asked, pod.there) == (["a/b"], {"hub:a/b"})


async def test_many_that_ask_at_once_ask_the_hub_once(pod: Pod) -> None:
    pod.hub.release = threading.Event()
    asking = [asyncio.create_task(pod.bring("a/b")) for _ in range(20)]
    await until(lambda: bool(pod.hub.asked))
    pod.hub.release.set()
    await asyncio.gather(*asking)
    assert pod.hub.asked == ["a/b"]


async def test_one_that_gives_up_takes_nothing_from_the_others(pod: Pod) -> None:
    pod.hub.release = threading.Event()
    first, second = (asyncio.create_task(pod.bring("a/b")) for _ in range(2))
    await until(lambda: bool(pod.hub.asked))
    first.cancel()
    pod.hub.release.set()
    await second
    assert pod.there == {"hub:a/b"}


async def test_a_new_catalog_leaves_it_and_the_operator_is_not_told(pod: Pod) -> None:
    await pod.bring("a/b")
    pod.bench.apply(entry("pixel"))
    await pod.bench.ready("pixel")
    pod.bench.apply()
    assert pod.there == {"hub:a/b"}
    saved = pod.bench.registry.saved()
    assert saved is not None
    assert (saved.catalog.entries, saved.texts, saved.ready) == ((), (), frozenset())
    assert pod.bench.registry.states() == {}
    assert pod.bench.registry.states(since=0) == {}


async def test_no_more_of_them_are_kept_than_the_bound(pod: Pod) -> None:
    for name in ("one", "two", "three"):
        await pod.bring(f"a/{name}")
    await pod.bring("a/one")
    await pod.bring("a/four")
    assert pod.there == {"hub:a/one", "hub:a/three", "hub:a/four"}, "the least recently used left"
    assert pod.bench.sources.discarded == ["sha-of-/a/a/two"]


async def test_a_file_that_another_adapter_is_of_stays_on_the_disk(pod: Pod) -> None:
    pod.hub.paths["a/one"] = "/a/pixel"
    pod.bench.apply(entry("pixel"))
    await pod.bench.ready("pixel")
    for name in ("one", "two", "three", "four"):
        await pod.bring(f"a/{name}")
    assert "hub:a/one" not in pod.there
    assert pod.bench.sources.discarded == []


async def refused(pod: Pod, repo: str = "a/b") -> RequestError:
    with pytest.raises(RequestError) as refusal:
        await pod.bring(repo)
    return refusal.value


async def test_a_refusal_is_kept_for_a_while(pod: Pod) -> None:
    pod.hub.refusals["a/b"] = AdapterError(Reason.NOT_A_LORA, "no LoRA")
    for _ in range(3):
        error = await refused(pod)
        assert (error.code, error.reason, error.retryable) == (ErrorCode.ADAPTER_FAILED, Reason.NOT_A_LORA, False)
    assert pod.hub.asked == ["a/b"]
    pod.hub.refusals.clear()
    pod.now_s += REFUSED_S
    await pod.bring("a/b")
    assert pod.there == {"hub:a/b"}


async def test_what_may_pass_is_not_kept(pod: Pod) -> None:
    pod.hub.refusals["a/b"] = AdapterError(Reason.SOURCE_UNAVAILABLE, "the Hub is away")
    error = await refused(pod)
    assert (error.code, error.retryable) == (ErrorCode.ADAPTER_NOT_READY, True)
    pod.hub.refusals.clear()
    await pod.bring("a/b")


async def test_a_branch_that_has_moved_is_noticed_after_an_hour(pod: Pod) -> None:
    await pod.bring("a/b")
    pod.hub.paths["a/b"] = "/a/newer"
    await pod.bring("a/b")
    assert pod.hub.asked == ["a/b"]
    pod.now_s += FRESH_S
    await pod.bring("a/b")
    await until(lambda: "/a/newer" in pod.bench.sources.asked)
    assert pod.hub.asked == ["a/b"] * 2


async def test_a_hub_that_is_away_then_takes_nothing_away(pod: Pod) -> None:
    await pod.bring("a/b")
    pod.now_s += FRESH_S
    pod.hub.refusals["a/b"] = AdapterError(Reason.SOURCE_NOT_FOUND, "gone")
    await pod.bring("a/b")
    await until(lambda: len(pod.hub.asked) == 2)
    await pod.bring("a/b")
    assert pod.there == {"hub:a/b"}


async def test_no_more_look_ups_wait_than_the_bound(pod: Pod) -> None:
    pod.hub.release = threading.Event()
    asking = [asyncio.create_task(pod.bring(f"a/{number}")) for number in range(40)]
    await until(lambda: sum(task.done() for task in asking) == 8)
    errors = [task.exception() for task in asking if task.done()]
    assert all(isinstance(e, RequestError) and e.code is ErrorCode.TOO_MANY_PENDING for e in errors)
    pod.hub.release.set()
    await asyncio.wait(asking)


async def test_a_pool_that_denies_them_asks_nobody(pod: Pod) -> None:
    denying = UndeclaredAdapters(pod.bench.registry, None)
    with pytest.raises(RequestError) as refusal:
        await denying.admit(("hub:a/b",))
    assert (refusal.value.code, refusal.value.reason) == (ErrorCode.ADAPTER_FAILED, Reason.SOURCE_FORBIDDEN)
    await denying.admit(("default/pixel",))


async def test_a_file_that_was_refused_is_fetched_again_no_sooner_than_after_a_while(pod: Pod) -> None:
    pod.bench.sources.faults["/a/a/b"] = AdapterError(Reason.INVALID_WEIGHTS, "not safetensors")
    for _ in range(2):
        await pod.bring("a/b")
    slot = pod.bench.registry.slot("hub:a/b")
    assert slot is not None
    assert slot.phase is AdapterPhase.FAILED
    assert pod.bench.sources.asked == ["/a/a/b"]
    slot.failed_at_s -= REFUSED_S
    pod.bench.sources.faults.clear()
    await pod.bring("a/b")
    assert pod.there == {"hub:a/b"}
