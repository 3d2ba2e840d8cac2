"""What waits for credentials in a pod, and for how long."""

import asyncio

import pytest
from tests.runtime.credentials.guarded import CANARY, KEY, REF, granted
from tests.virtual_time import elapse, now_s

from lorapool_api.kinds.conditions import Reason
from lorapool_api.wire.credentials import MOST_AWAITED, CredentialsDelivery
from lorapool_runtime.credentials import WAIT_S, CredentialsDesk
from lorapool_runtime.errors import AdapterError

pytestmark = pytest.mark.virtual_time


class Noted:
    """How often what is awaited was another."""

    def __init__(self) -> None:
        self.count = 0
        self.desk = CredentialsDesk(self._note)

    def _note(self) -> None:
        self.count += 1


async def test_nobody_waits_for_ever() -> None:
    noted, began_s = Noted(), now_s()
    with pytest.raises(AdapterError) as error:
        await noted.desk.get(KEY, REF)
    assert now_s() - began_s == pytest.approx(WAIT_S)
    assert error.value.reason is Reason.SOURCE_UNAVAILABLE
    assert noted.desk.awaited == frozenset()
    assert noted.count == 2


async def test_all_who_wait_for_one_thing_get_it_by_one_delivery() -> None:
    desk = Noted().desk
    waiting = [asyncio.create_task(desk.get(KEY, REF)) for _ in range(3)]
    await elapse(1)
    desk.deliver(CredentialsDelivery(grants={KEY: granted()}))
    assert [credentials["token"].get_secret_value() for credentials in await asyncio.gather(*waiting)] == [CANARY] * 3


async def test_no_more_than_some_are_asked_for_at_a_time() -> None:
    desk = Noted().desk
    keys = [f"team/{number}" for number in range(MOST_AWAITED + 5)]
    waiting = [asyncio.create_task(desk.get(key, REF)) for key in keys]
    await elapse(1)
    first = desk.awaited
    assert len(first) == MOST_AWAITED
    desk.deliver(CredentialsDelivery(grants={key: granted() for key in first}))
    await elapse(1)
    assert desk.awaited == frozenset(keys) - first
    desk.deliver(CredentialsDelivery(grants={key: granted() for key in desk.awaited}))
    assert len(await asyncio.gather(*waiting)) == len(keys)


async def test_who_gives_up_is_asked_for_no_more() -> None:
    noted = Noted()
    waiting = asyncio.create_task(noted.desk.get(KEY, REF))
    await elapse(1)
    waiting.cancel()
    await elapse(1)
    assert noted.desk.awaited == frozenset()
