"""A state of thousands of adapters is written in slices, and reads as if it were written at once."""

import asyncio
from collections.abc import Iterator

import pytest

from lorapool_api.wire.state import AdapterPhase, AdapterState, BasePhase, BaseState, PodState, Tier
from lorapool_runtime.http import long_state


def state(*, complete: bool = True) -> PodState:
    base = BaseState(phase=BasePhase.WARM, stages_s={"load": 1.5})
    return PodState(instance="i", version=7, digest=None, base=base, complete=complete, gone=("default/went",))


def adapter(number: int) -> AdapterState:
    return AdapterState(phase=AdapterPhase.READY, tier=Tier.HOST, generation=number, message='a "quoted" word\n')


@pytest.mark.parametrize("count", [0, 1, 100, 101, 1000])
async def test_it_reads_as_if_it_were_written_at_once(count: int) -> None:
    adapters = {f"default/a{number}": adapter(number) for number in range(count)}
    reply = await long_state.reply(state(complete=False), adapters.items())
    said = PodState.model_validate_json(bytes(reply.body))
    assert said == state(complete=False).model_copy(update={"adapters": adapters})
    assert list(said.adapters) == list(adapters)


async def test_others_have_their_turns_while_it_is_made() -> None:
    made: list[int] = []

    def rows() -> Iterator[tuple[str, AdapterState]]:
        for number in range(1000):
            made.append(number)
            yield f"default/a{number}", adapter(number)

    async def other() -> list[int]:
        seen = []
        while len(made) < 1000:
            seen.append(len(made))
            await asyncio.sleep(0)
        return seen

    seen, _ = await asyncio.gather(other(), long_state.reply(state(), rows()))
    assert max(later - before for before, later in zip(seen, [*seen[1:], 1000], strict=True)) <= 100
