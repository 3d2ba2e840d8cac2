"""Every pod knows what it holds, and who the others are, whatever becomes of it."""

import pytest
from tests.unit.operator.fake_pods import FakePod
from tests.unit.operator.pods.linked import Pool, catalog
from tests.virtual_time import elapse, until

from lorapool_api.wire.fleet import Assignment
from lorapool_operator.pods.control import NotSupported

pytestmark = pytest.mark.virtual_time


def assignment(*holds: str) -> Assignment:
    return Assignment.of("default/p-1", {"default/p-1": "10.0.0.1:8001"}, {f"default/{name}" for name in holds})


async def test_a_pod_knows_what_it_holds_before_it_gets_its_catalog(pool: Pool) -> None:
    pod = pool.start(FakePod())
    await pool.distribute(catalog("a", "b"), assignment("a"))
    assert [call for call in pod.calls if call in ("assign", "put")] == ["assign", "put"]
    assert pod.assignment == assignment("a").with_token("token")
    assert set(pool.report().adapters) == {"default/a"}


async def test_another_assignment_is_sent_without_a_catalog(pool: Pool) -> None:
    pod = pool.start(FakePod())
    await pool.distribute(catalog("a", "b"), assignment("a"))
    await pool.distribute(catalog("a", "b"), assignment("b"))
    assert pod.assignment == assignment("b").with_token("token")
    assert pod.pushes == ["put"]


async def test_a_pod_is_told_once_when_it_may_sleep_and_that_it_may_not_any_more(pool: Pool) -> None:
    pod = pool.start(FakePod())
    told = []
    for after_s in (None, 600.0, 600.0, 60.0, None):
        await pool.distribute(catalog("a"), assignment("a"), after_s)
        assert pod.assignment is not None
        told.append(pod.assignment.sleep_after_s)
    assert told == [None, 600, 600, 60, None]
    assert pod.calls.count("assign") == 4
    assert pod.assignment == assignment("a").with_token("token")


async def test_the_same_assignment_is_sent_once(pool: Pool) -> None:
    pod = pool.start(FakePod())
    for _ in range(3):
        await pool.distribute(catalog("a"), assignment("a"))
    assert pod.calls.count("assign") == 1


async def test_a_pod_that_follows_no_assignment_is_asked_ever_more_rarely(pool: Pool) -> None:
    pod = pool.start(FakePod())
    pod.forgets_assignments = True
    await pool.distribute(catalog("a"), assignment("a"))
    await elapse(60.0)
    assert 5 <= pod.calls.count("assign") <= 30


async def test_a_restarted_container_gets_its_assignment_again(pool: Pool) -> None:
    pod = pool.start(FakePod())
    await pool.distribute(catalog("a"), assignment("a"))
    pod.restart("another")
    await until(lambda: pod.digest == catalog("a").digest)
    assert pod.assignment == assignment("a").with_token("token")


async def test_a_pod_of_an_earlier_version_gets_its_catalog_all_the_same(pool: Pool) -> None:
    pod = pool.start(FakePod())
    pod.assign_error = NotSupported("no such call")
    await pool.distribute(catalog("a"), assignment("a"))
    await pool.distribute(catalog("a", "b"), assignment("a"))
    assert pod.digest == catalog("a", "b").digest
    assert pod.calls.count("assign") == 1


async def test_an_assignment_and_a_small_change_of_the_catalog_are_one_call(pool: Pool) -> None:
    pod = pool.start(FakePod())
    await pool.distribute(catalog("a", "c"), assignment("a", "c"))
    pod.calls.clear()
    pod.names_all = False
    await pool.distribute(catalog("a", "b"), assignment("a", "b"))
    assert [call for call in pod.calls if call != "state"] == ["assign"]
    assert (pod.digest, set(pod.entries)) == (catalog("a", "b").digest, {"default/a", "default/b"})
    assert set(pool.report().adapters) == {"default/a", "default/b"}

    pod.calls.clear()
    await pool.distribute(catalog("a"), assignment("a", "b"))
    assert [call for call in pod.calls if call != "state"] == ["patch"], "from the catalog that it was told so"
    assert set(pool.report().adapters) == {"default/a"}


async def test_a_pod_that_takes_the_assignment_alone_is_sent_the_change_too(pool: Pool) -> None:
    pod = pool.start(FakePod())
    pod.takes_both = False
    await pool.distribute(catalog("a"), assignment("a"))
    await pool.distribute(catalog("a", "b"), assignment("a", "b"))
    assert [call for call in pod.calls if call in ("assign", "put", "patch")] == ["assign", "put", "assign", "patch"]
    assert set(pool.report().adapters) == {"default/a", "default/b"}


async def test_a_large_change_of_the_catalog_is_sent_by_itself(pool: Pool) -> None:
    pod = pool.start(FakePod())
    await pool.distribute(catalog("a"), assignment("a"))
    pod.calls.clear()
    await pool.distribute(catalog("a", *(f"b{number}" for number in range(501))), assignment("a", "b7"))
    assert [call for call in pod.calls if call != "state"] == ["assign", "patch"]
    assert set(pool.report().adapters) == {"default/a", "default/b7"}
