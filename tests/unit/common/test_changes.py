"""That something has changed is missed by nobody, and waited for by whoever has seen the last change."""

import asyncio

from lorapool_common.changes import Changes


async def test_who_waits_is_woken_by_the_next_change() -> None:
    changes = Changes()
    seen = changes.version
    waiting = [asyncio.create_task(changes.beyond(seen)) for _ in range(3)]
    await asyncio.sleep(0)
    assert changes.note() == seen + 1
    await asyncio.gather(*waiting)


async def test_a_change_between_the_look_and_the_wait_is_not_missed() -> None:
    changes = Changes()
    seen = changes.version
    changes.note()
    await changes.beyond(seen)


async def test_a_wait_ends_after_its_time_and_when_nothing_comes_any_more() -> None:
    changes = Changes()
    await changes.beyond(changes.version, timeout_s=0)
    waiting = asyncio.create_task(changes.beyond(changes.version))
    await asyncio.sleep(0)
    assert not waiting.done()
    changes.close()
    await waiting
    await changes.beyond(changes.version)
