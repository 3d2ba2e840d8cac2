"""Credentials go to the pod that waits for them, and to no other."""

import pytest
from pydantic import SecretStr
from tests.unit.operator.fake_pods import FakePod
from tests.unit.operator.pods.linked import Pool, catalog
from tests.unit.operator.secrets import token_ref
from tests.virtual_time import elapse, until

from lorapool_api.wire.credentials import TOKEN, CredentialsGrant
from lorapool_operator.pods.control import ControlError

pytestmark = pytest.mark.virtual_time
KEY = "default/a"


@pytest.fixture
def pool() -> Pool:
    return Pool(grants={KEY: CredentialsGrant(ref=token_ref(), values={TOKEN: SecretStr("canary")})})


def asks(pod: FakePod, *keys: str) -> None:
    pod.awaits = frozenset(keys)
    pod.tell()


async def test_the_pod_that_waits_gets_them_once_and_no_other(pool: Pool) -> None:
    one, other = pool.start(FakePod(), "10.0.0.1", "p-1"), pool.start(FakePod(), "10.0.0.2", "p-2")
    await pool.distribute(catalog("a"))
    asks(one, KEY)
    await until(lambda: one.delivered)
    await elapse(60)
    (delivery,) = one.delivered
    assert delivery.grants == pool.grants
    assert other.delivered == []


async def test_what_nobody_may_have_is_not_sent(pool: Pool) -> None:
    pod = pool.start(FakePod())
    await pool.distribute(catalog("a"))
    asks(pod, "kube-system/b")
    await elapse(10)
    assert pod.delivered == []


async def test_a_pod_that_did_not_take_them_gets_them_again_ever_more_rarely(pool: Pool) -> None:
    pod = pool.start(FakePod())
    pod.deliver_error = ControlError("status 500")
    await pool.distribute(catalog("a"))
    asks(pod, KEY)
    await elapse(60)
    assert 3 <= pod.calls.count("deliver") <= 12
    pod.deliver_error = None
    await until(lambda: pod.delivered, 60)


async def test_a_pod_that_asks_without_end_is_not_answered_without_end(pool: Pool) -> None:
    pod = pool.start(FakePod())
    await pool.distribute(catalog("a"))
    for _ in range(200):
        asks(pod, KEY)
        await elapse(0.05)
    assert 1 <= len(pod.delivered) <= 25


async def test_what_another_process_of_the_pod_waited_for_is_forgotten(pool: Pool) -> None:
    pod = pool.start(FakePod())
    pool.grants.clear()
    await pool.distribute(catalog("a"))
    asks(pod, KEY)
    await elapse(1)
    pod.awaits = frozenset()
    pod.restart("j")
    await elapse(1)
    pool.grants[KEY] = CredentialsGrant(ref=token_ref(), values={TOKEN: SecretStr("canary")})
    await elapse(60)
    assert pod.delivered == []
