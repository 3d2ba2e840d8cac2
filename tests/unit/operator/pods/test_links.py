"""Every pod gets its catalog and is listened to, whatever becomes of it."""

import asyncio

import pytest
from tests.unit.operator import make as made
from tests.unit.operator.fake_pods import FakePod
from tests.unit.operator.pods.linked import IP, Pool, catalog
from tests.virtual_time import elapse, now_s, rest, until

from lorapool_api.wire.state import AdapterPhase, BasePhase, BaseReport, BaseState, PodState
from lorapool_operator.pods.control import ControlError, TokenRefused

pytestmark = pytest.mark.virtual_time

OTHER_IP = "10.0.0.2"
LOADING = BaseState(phase=BasePhase.LOADING)


async def test_a_pod_is_told_its_catalog_and_then_only_what_changes(pool: Pool) -> None:
    pod = pool.start(FakePod())
    await pool.distribute(catalog("a"))
    await pool.distribute(catalog("a", "b"))
    await pool.distribute(catalog("b"))

    assert pod.pushes == ["put", "patch", "patch"]
    assert pod.digest == catalog("b").digest
    assert set(pool.report().adapters) == {"default/b"}


async def test_nothing_is_asked_of_a_pod_before_it_is_known_what_it_may_speak_of(pool: Pool) -> None:
    pod = pool.start(FakePod())
    await elapse(60.0)
    assert pod.calls == []
    assert not pool.report().was_asked


async def test_a_pod_that_holds_the_catalog_already_is_told_nothing(pool: Pool) -> None:
    """The operator was restarted."""
    pod = FakePod()
    pod.digest = catalog("a").digest
    pool.start(pod)
    await pool.distribute(catalog("a"))
    assert pod.calls.count("put") == 0


async def test_a_restarted_process_gets_all_of_its_catalog_again(pool: Pool) -> None:
    pod = pool.start(FakePod())
    await pool.distribute(catalog("a"))
    pod.restart("another")
    await elapse(0.5)
    assert pod.pushes == ["put", "put"]
    assert set(pod.entries) == {"default/a"}


async def test_a_pod_with_another_catalog_than_thought_gets_all_of_it(pool: Pool) -> None:
    pod = pool.start(FakePod())
    await pool.distribute(catalog("a"))
    pod.digest = "changed behind everybody's back"
    await pool.distribute(catalog("a", "b"))
    assert pod.pushes == ["put", "patch", "put"]


async def test_news_wake_the_pool_and_silence_does_not(pool: Pool) -> None:
    pod = pool.start(FakePod())
    await pool.distribute(catalog("a"))
    await elapse(10.0)
    before = pool.news

    await elapse(600.0)
    assert pool.news == before
    pod.phases["default/a"] = AdapterPhase.FAILED
    pod.tell()
    await rest()
    assert pool.news == before + 1
    assert pool.report().adapters["default/a"].phase is AdapterPhase.FAILED


async def test_a_flood_of_news_wakes_the_pool_a_few_times_a_second(pool: Pool) -> None:
    pod = pool.start(FakePod())
    await pool.distribute(catalog("a"))
    await elapse(10.0)
    before = pool.news
    for number in range(1000):
        pod.phases["default/a"] = AdapterPhase.LOADING if number % 2 else AdapterPhase.READY
        pod.tell()
        await elapse(0.01)
    assert 30 <= pool.news - before <= 80


async def test_a_pod_that_refuses_its_catalog_is_told_again_after_growing_pauses(pool: Pool) -> None:
    pod = pool.start(FakePod())
    pod.push_error = ControlError("no")
    await pool.distribute(catalog("a"))
    await elapse(60.0)
    assert 10 <= pod.calls.count("put") <= 25
    pod.push_error = None
    assert await until(lambda: pod.digest == catalog("a").digest) <= 6.0


async def test_a_pod_that_falls_silent_is_said_once_to_be_and_heard_of_again(pool: Pool) -> None:
    pod = pool.start(FakePod())
    await pool.distribute(catalog("a"))
    await elapse(10.0)
    before = pool.news

    pod.error = ControlError("gone")
    pod.tell()
    await elapse(60.0)
    assert pool.news == before + 1
    assert not pool.report().reachable
    assert pool.report().is_warm, "what it said last is not forgotten"

    pod.error = None
    assert await until(lambda: pool.report().reachable) <= 2.5
    assert pool.news == before + 2


async def test_a_pod_that_knows_another_token_is_told_apart(pool: Pool) -> None:
    pod = FakePod()
    pod.error = TokenRefused("no")
    pool.start(pod)
    await pool.distribute(catalog("a"))
    assert (pool.report().reachable, pool.report().accepts_token) == (False, False)
    pod.error = None
    await elapse(3.0)
    assert (pool.report().reachable, pool.report().accepts_token) == (True, True)


async def test_only_a_pod_of_the_first_version_is_shown_the_token(pool: Pool) -> None:
    """Others know the operator by its signature: what a pod is sent that has another's address now is worth nothing."""
    pod, old = pool.start(FakePod()), FakePod()
    pool.ports.pods[OTHER_IP] = old
    pods = (made.pod("p-1", ip=IP), made.pod("old", ip=OTHER_IP, mounts_token=True))
    pool.links.follow(pods, "token")
    await pool.distribute(catalog("a"))
    assert (pod.pushes, old.pushes) == (["put"], ["put"])
    assert (pod.tokens, old.tokens) == ({""}, {"token"})


async def test_a_hung_pod_delays_no_other(pool: Pool) -> None:
    class Hung(FakePod):
        async def state(self, since: int, instance: str | None) -> PodState:
            await asyncio.Event().wait()
            raise AssertionError

    pool.start(Hung(), OTHER_IP, "hung")
    pod = pool.start(FakePod())
    began_s = now_s()
    await pool.distribute(catalog("a"))
    assert pod.digest == catalog("a").digest
    assert now_s() == began_s


async def test_a_pod_that_comes_later_is_told_the_catalog_of_the_next_pass(pool: Pool) -> None:
    pool.start(FakePod())
    await pool.distribute(catalog("a"))
    late = pool.start(FakePod(), OTHER_IP, "late")
    before = pool.news
    await pool.distribute(catalog("a"))
    assert late.digest == catalog("a").digest
    assert pool.news > before


async def test_a_pod_that_went_is_asked_nothing_more(pool: Pool) -> None:
    pod = pool.start(FakePod())
    await pool.distribute(catalog("a"))
    pool.links.follow((), "token")
    asked = len(pod.calls)
    for _ in range(10):
        pod.tell()
        await elapse(5.0)
    assert len(pod.calls) == asked
    assert pool.links.reports() == {}


async def test_the_modules_of_a_base_are_asked_for_once(pool: Pool) -> None:
    modules = BaseReport(revision="rev", modules={"unet": {"to_k": (16, 32)}})
    pod = pool.start(FakePod(LOADING, modules))
    await pool.distribute(catalog("a"))
    assert pool.links.bases == {}
    pod.base = made.WARM
    for _ in range(3):
        pod.tell()
        await elapse(5.0)
    assert pool.links.bases == {"rev": modules}
    assert pod.calls.count("base") == 1


async def test_bases_that_no_pod_holds_any_more_are_forgotten(pool: Pool) -> None:
    pod = pool.start(FakePod())
    await pool.distribute(catalog())
    for number in range(10):
        pod.base = BaseState(phase=BasePhase.WARM, revision=f"rev-{number}")
        pod.tell()
        await elapse(1.0)
        assert f"rev-{number}" in pool.links.bases
        assert len(pool.links.bases) <= 2


async def test_a_pod_that_brings_a_defect_to_light_is_listened_to_again(pool: Pool) -> None:
    class Odd(FakePod):
        async def state(self, since: int, instance: str | None) -> PodState:
            if not self.calls:
                self.calls.append("state")
                raise KeyError("what nobody foresaw")
            return await super().state(since, instance)

    pool.start(Odd())
    await pool.distribute(catalog())
    assert not pool.report().reachable
    await elapse(2.0)
    assert pool.report().is_warm
