"""Long-running tasks of a process: what ends it, and how."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest

from lorapool_common.supervision import Supervisor

DEADLINE_S = 20.0


@pytest.fixture
async def supervisor() -> AsyncIterator[Supervisor]:
    made = Supervisor()
    yield made
    await made.end()


async def for_ever() -> None:
    await asyncio.Event().wait()


async def fail() -> None:
    raise ValueError("nobody is there\nand more lines")


async def fail_in_a_group() -> None:
    async with asyncio.TaskGroup() as group:
        group.create_task(for_ever())
        group.create_task(fail())


async def give_back(event: asyncio.Event) -> None:
    try:
        await for_ever()
    finally:
        event.set()


async def stopped(supervisor: Supervisor) -> None:
    async with asyncio.timeout(DEADLINE_S):
        await supervisor.stopped()


async def test_a_task_that_fails_stops_the_process_and_is_named(supervisor: Supervisor) -> None:
    supervisor.start("the watch of pods", fail())
    await stopped(supervisor)
    assert str(supervisor.failure) == "the watch of pods: ValueError: nobody is there"


async def test_the_first_error_of_a_group_is_the_reason(supervisor: Supervisor) -> None:
    supervisor.start("the watcher", fail_in_a_group())
    await stopped(supervisor)
    assert str(supervisor.failure) == "the watcher: ValueError: nobody is there"


async def test_a_task_that_returns_too_early_stops_the_process(supervisor: Supervisor) -> None:
    supervisor.start("the poller", asyncio.sleep(0))
    await stopped(supervisor)
    assert supervisor.failure is not None


async def test_a_task_that_somebody_else_cancels_stops_the_process(supervisor: Supervisor) -> None:
    supervisor.start("the poller", for_ever()).cancel()
    await stopped(supervisor)
    assert supervisor.failure is not None


async def test_a_task_that_may_finish_stops_nothing_when_it_does(supervisor: Supervisor) -> None:
    await supervisor.start("the load of the base model", asyncio.sleep(0), finishes=True)
    await asyncio.sleep(0)
    assert not supervisor.is_stopping


async def test_a_task_that_may_finish_still_must_not_fail(supervisor: Supervisor) -> None:
    supervisor.start("the load of the base model", fail(), finishes=True)
    await stopped(supervisor)
    assert supervisor.failure is not None


async def test_being_stopped_is_no_failure(supervisor: Supervisor) -> None:
    cleaned = asyncio.Event()
    task = supervisor.start("the watcher", give_back(cleaned))
    await asyncio.sleep(0)
    supervisor.stop()
    await stopped(supervisor)
    await supervisor.end(task)
    assert cleaned.is_set()
    assert supervisor.failure is None


async def test_a_task_that_fails_while_it_ends_is_a_failure(supervisor: Supervisor) -> None:
    async def stumble() -> None:
        try:
            await for_ever()
        finally:
            await fail()

    task = supervisor.start("the work of the leader", stumble())
    await asyncio.sleep(0)
    supervisor.stop()
    await supervisor.end(task)
    assert str(supervisor.failure).startswith("the work of the leader: ValueError")


async def test_a_task_that_ignores_its_end_is_waited_for_only_so_long(supervisor: Supervisor) -> None:
    let_go = asyncio.Event()

    async def stubborn() -> None:
        while not let_go.is_set():
            with contextlib.suppress(asyncio.CancelledError):
                await let_go.wait()

    task = supervisor.start("the server", stubborn())
    await asyncio.sleep(0)
    async with asyncio.timeout(DEADLINE_S):
        await supervisor.end(task, within_s=0.01)
    assert not task.done()
    let_go.set()
    await task


async def test_a_task_told_to_end_may_finish_by_itself(supervisor: Supervisor) -> None:
    told = asyncio.Event()
    task = supervisor.start("the server", told.wait())
    supervisor.stop()
    told.set()
    await supervisor.finish(task)
    assert task.result() is True
    assert supervisor.failure is None


async def test_work_is_given_up_when_the_process_stops(supervisor: Supervisor) -> None:
    cleaned = asyncio.Event()
    work = asyncio.create_task(supervisor.unless_stopped(give_back(cleaned)))
    await asyncio.sleep(0)
    supervisor.stop()
    assert await asyncio.wait_for(work, DEADLINE_S) is False
    assert cleaned.is_set()


async def test_work_that_is_done_says_so_and_its_error_is_raised(supervisor: Supervisor) -> None:
    assert await supervisor.unless_stopped(asyncio.sleep(0)) is True
    with pytest.raises(ValueError, match="nobody is there"):
        await supervisor.unless_stopped(fail())
