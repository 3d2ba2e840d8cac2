"""Whatever the API server answers, or does not: in the end all is as the specs say."""

import asyncio
import os
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
from tests.cluster.operator.faults.proxy import Call, Fault, Faults, error_line, none
from tests.cluster.operator.faults.scene import Scene

pytestmark = [pytest.mark.plane, pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(300)]

# Pools, adapters, pods, ReplicaSets and Deployments at least.
WATCHES = 5
IS_THOROUGH = "LORAPOOL_CHAOS_AWAY_S" in os.environ
AWAY_S = float(os.environ.get("LORAPOOL_CHAOS_AWAY_S", "4"))


def is_any(_call: Call) -> bool:
    return True


@dataclass
class Each:
    """One of so many calls of a kind has the fault."""

    count: int
    fault: Fault
    is_meant: Callable[[Call], bool] = is_any
    seen: int = field(default=0)

    def __call__(self, call: Call) -> Fault | None:
        self.seen += self.is_meant(call)
        return self.fault if self.is_meant(call) and self.seen % self.count == 0 else None


FAULTS: dict[str, Faults] = {
    "each tenth call is a 500": Each(10, Fault(status=500)),
    "each third write is a conflict": Each(3, Fault(status=409), lambda call: call.is_write),
    "each third write is done and its answer lost": Each(3, Fault(loses_reply=True), lambda call: call.is_write),
    "all is slow": Each(1, Fault(delay_s=0.3)),
}
if IS_THOROUGH:
    FAULTS["each third write does not arrive"] = Each(3, Fault(loses_request=True), lambda call: call.is_write)


async def lived_through(scene: Scene, prefix: str) -> None:
    """All that happens to adapters, with the faults of now."""
    began = len(scene.api.calls)
    await scene.play(prefix)
    await scene.is_as_specified()
    await scene.play_on(prefix)
    await scene.is_as_specified()
    await scene.clear()
    await scene.is_as_specified()
    scene.api.faults = none
    assert len(scene.api.calls) > began


@pytest.mark.parametrize("what", FAULTS)
async def test_what_the_api_server_answers_holds_up_and_changes_nothing(served: Scene, what: str) -> None:
    served.api.faults = FAULTS[what]
    began = len(served.api.calls)
    await lived_through(served, f"f{list(FAULTS).index(what)}")
    assert [fault for _, fault in served.api.calls[began:] if fault != Fault()], "there was a fault"


async def test_a_write_that_comes_too_often_waits_for_as_long_as_it_is_told(served: Scene) -> None:
    loop, refused = asyncio.get_running_loop(), dict[str, float]()
    early: list[str] = []

    def faults(call: Call) -> Fault | None:
        if not call.is_write:
            return None
        if call.path not in refused:
            refused[call.path] = loop.time()
            return Fault(status=429, headers={"Retry-After": "2"})
        if loop.time() - refused[call.path] < 1.9:
            early.append(call.path)
        return None

    served.api.faults = faults
    await lived_through(served, "often")
    assert refused
    assert early == []


@dataclass
class EndedWatches:
    """Some writes end all watches, with this line; what asks for a watch then may be refused once."""

    scene: Scene
    times: int
    last: bytes = b""
    refusal: Fault | None = None
    ended: int = 0
    refused: set[str] = field(default_factory=set)

    def __call__(self, call: Call) -> Fault | None:
        if call.is_write and call.write % 3 == 0 and self.times:
            self.times -= 1
            self.ended += self.scene.api.end_watches(self.last)
        if call.is_watch and self.ended and call.path not in self.refused:
            self.refused.add(call.path)
            return self.refusal
        return None


ENDS = {
    "end": (9, b""),
    "410": (9, error_line(410, "Expired")),
    # kopf cannot go on after these: an operator begins anew each time.
    "500": (1, error_line(500, "InternalError")),
    "half a line": (1, b'{"type": "MODIFIED", "obj'),
}
if IS_THOROUGH:
    ENDS |= {"429": (1, error_line(429, "TooManyRequests")), "garbage": (1, b"{\n")}


@pytest.mark.parametrize("what", ENDS)
async def test_watches_that_end_miss_nothing(served: Scene, what: str) -> None:
    served.api.faults = faults = EndedWatches(served, *ENDS[what])
    await lived_through(served, f"w{list(ENDS).index(what)}")
    assert faults.ended >= WATCHES


@pytest.mark.parametrize("status", [410, 500] if IS_THOROUGH else [410])
async def test_a_watch_that_is_refused_is_asked_for_again(served: Scene, status: int) -> None:
    served.api.faults = faults = EndedWatches(served, 1, refusal=Fault(status=status))
    await lived_through(served, f"r{status}")
    assert len(faults.refused) >= WATCHES


async def test_an_api_server_that_is_away_for_a_while_is_all_that_is_waited_for(served: Scene) -> None:
    await served.play("away")
    await served.is_as_specified()
    await served.api.go_away()
    await served.play_on("away")
    await served.make("away-new", "a/one")
    await asyncio.sleep(AWAY_S)
    await served.api.come_back()
    await served.is_as_specified()
    await served.clear()
    await served.is_as_specified()
