"""When a process is taken out of service."""

import asyncio

import pytest

from lorapool_runtime.app.health import Health, Watchdog
from lorapool_runtime.errors import OutOfService


async def test_a_process_that_has_failed_ends_with_the_first_reason() -> None:
    health = Health()
    serving = asyncio.create_task(health.raise_on_failure())
    assert health.failure is None
    health.fail("the device is lost")
    health.fail("and something else")
    async with asyncio.timeout(10):
        with pytest.raises(OutOfService, match=r"^the device is lost$"):
            await serving


@pytest.mark.parametrize(("overdue_s", "hangs"), [([0.0, 29.0, 0.0, 30.0], False), ([0.0, 31.0], True)])
async def test_an_engine_that_is_far_beyond_a_requests_time_hangs(overdue_s: list[float], hangs: bool) -> None:
    told: list[str] = []
    looks = iter(overdue_s)

    async def sleep(_: float) -> None:
        await asyncio.sleep(0)

    watchdog = Watchdog(lambda: next(looks), 30.0, told.append, sleep)
    with pytest.raises(RuntimeError):  # the looks are over: StopIteration within a coroutine
        await watchdog.run()
    assert bool(told) is hangs
