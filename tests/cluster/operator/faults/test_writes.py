"""An operator that is killed between any two of its writes leaves nothing that the next one does not put right."""

import asyncio

import pytest
from tests.cluster.operator.faults.proxy import Call, Fault, none
from tests.cluster.operator.faults.scene import Scene
from tests.waiting import until_read

from lorapool_common.kube.resources import POOLS

pytestmark = [pytest.mark.plane, pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(300)]

MOST_WRITES = 40
# Each operator applies the pool's small objects and its Deployment again, which changes nothing.
APPLIED_AGAIN = 4


async def dies_of_write(scene: Scene, number: int) -> bool:
    """An operator that lives until that write of it is done, and never learns so; False: it had less to write."""
    done = asyncio.Event()
    writes = 0

    def faults(call: Call) -> Fault | None:
        nonlocal writes
        writes += call.is_write
        if writes < number:
            return None
        is_last = call.is_write and writes == number
        return Fault(loses_reply=True, done=done) if is_last else Fault(loses_request=True)

    scene.api.faults = faults
    operator = await scene.start_operator()

    async def is_over() -> bool:
        return done.is_set() or (writes < number and not await scene.differences())

    await until_read(is_over, bool, f"it has made {number} writes, or there are no more", 40.0)
    await operator.end()
    scene.api.faults = none
    return done.is_set()


async def lives(scene: Scene, first: int) -> int:
    """How many writes the last of the operators had to make, of which each died of one more than the one before."""
    for number in range(first, MOST_WRITES):
        if not await dies_of_write(scene, number):
            return number
    raise AssertionError(f"{MOST_WRITES} writes, and still: {await scene.differences()}")


async def test_operators_that_each_die_of_a_later_write_come_to_what_the_specs_say(bare: Scene) -> None:
    scene = bare
    await scene.it.make_pool()
    await scene.make("stays", "a/one")
    await scene.make("goes", "a/two")
    assert await lives(scene, 1) > APPLIED_AGAIN
    await scene.edit("stays", "a/three")
    await scene.delete("goes")
    await scene.it.edit(POOLS, "shapes", {"spec": {"replicas": 2}})
    assert await lives(scene, APPLIED_AGAIN) > APPLIED_AGAIN
    operator = await scene.start_operator()
    await scene.clear()
    await scene.is_as_specified()
    await operator.end()
