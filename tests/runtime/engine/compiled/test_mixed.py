"""A compiled denoiser that adds pairs: to all rows, or to each picture its own; no switch compiles again."""

import random
from collections.abc import Iterator

import pytest
import torch
from tests.runtime.engine.compiled.test_switches import Bed, arguments, some_stack
from tests.runtime.networks import MAKERS
from tests.waiting import wait_until

from lorapool_runtime.adapters.file import ScaledAdapter
from lorapool_runtime.engine.diffusers.compiled.ranked import RankedKind
from lorapool_runtime.engine.diffusers.layers.switchboard import DeviceAdapter, Plan, Stack

pytestmark = [pytest.mark.usefixtures("one_thread"), pytest.mark.timeout(600)]
RANKS = (32, 128, 512)
# Of the largest value of the answer: the same sums in another order.
ROUNDING = 1e-4


@pytest.fixture(scope="module")
def bed() -> Iterator[Bed]:
    """With graphs of every kind for two rows."""
    made = Bed(ranks=RANKS)
    made.compile(arguments())
    for ranks in RANKS:
        for wanted in (False, True):
            before = made.compiled.figures.graphs
            made.board.switch(made.board.plan((ScaledAdapter(touching(made, ranks, convolutions=wanted), 1.0),)))
            made.answer(arguments())
            wait_until(lambda n=before: made.compiled.figures.graphs > n, deadline_s=300, what="a graph")  # type: ignore[misc]
    assert set(made.compiled.ranked) == {RankedKind(ranks, 2, wanted) for ranks in RANKS for wanted in (False, True)}
    yield made
    torch.compiler.reset()


def touching(bed: Bed, rank: int, *, convolutions: bool) -> DeviceAdapter:
    """An adapter of some convolutions, or of Linears alone."""
    found = bed.adapter("lora", rank, 1)
    deltas = tuple(d for d in found.deltas if convolutions or len(d.target.shape) == 2)
    assert any(len(d.target.shape) == 4 for d in found.deltas)
    assert deltas
    return DeviceAdapter(f"{rank} {convolutions}", deltas, 0)


def some_rows(bed: Bed, low_rank: list[DeviceAdapter], choice: random.Random) -> Plan:
    """Two pictures, each with a stack of its own, of up to two, or none."""
    stacks: list[Stack] = [
        tuple(ScaledAdapter(a, choice.uniform(-1, 1)) for a in choice.sample(low_rank, choice.randint(0, 2)))
        for _ in range(2)
    ]
    return bed.board.plan_rows([(stack, 1) for stack in stacks])


def test_a_thousand_switches_among_rows_stacks_and_formats_compile_nothing_and_move_nothing(bed: Bed) -> None:
    given, choice = arguments(), random.Random(11)  # noqa: S311 -- the same each time
    adapters = [
        bed.adapter(kind, rank, seed)
        for seed, (kind, rank) in enumerate((kind, rank) for kind in sorted(MAKERS) for rank in (1, 3, 16, 128))
    ]
    low_rank = [bed.adapter("lora", rank, 100 + rank) for rank in (1, 2, 7, 16, 64, 128)]
    fixed = [twin.addresses() for twin in bed.compiled.ranked.values()]
    graphs, before = bed.graphs, bed.compiled.figures
    for i in range(1000):
        match choice.randrange(3):
            case 0:
                plan = some_rows(bed, low_rank, choice)
            case 1:
                some = choice.sample(low_rank, choice.randint(0, 3))
                plan = bed.board.plan(tuple(ScaledAdapter(a, choice.uniform(-1, 1)) for a in some))
            case _:
                plan = bed.board.plan(some_stack(adapters, choice), merge=True)
        bed.board.switch(plan)
        made = bed.answer(given)
        if i % 20 == 0:
            wanted = bed.eager(given)
            assert float((made - wanted).abs().max()) <= ROUNDING * float(wanted.abs().max())
    assert bed.graphs == graphs
    assert [twin.addresses() for twin in bed.compiled.ranked.values()] == fixed
    # Every one of them by a graph, and none that did not fit.
    assert bed.compiled.figures == before


def test_strengths_that_change_within_a_run_are_those_of_its_graph(bed: Bed) -> None:
    given, choice, before = arguments(), random.Random(12), bed.compiled.figures  # noqa: S311 -- the same each time
    adapters, graphs = [bed.adapter("lora", rank, 200 + rank) for rank in (2, 7)], bed.graphs
    for rows in (False, True):
        wanted, made, plans = [], [], []
        for strength in (1.0, 0.3, 0.0, -0.6, 0.3):
            stack = (ScaledAdapter(adapters[0], strength), ScaledAdapter(adapters[1], choice.uniform(-1, 1)))
            plans.append(bed.board.plan_rows([(stack, 1), (stack[:1], 1)]) if rows else bed.board.plan(stack))
            bed.board.switch(plans[-1])
            wanted.append(bed.eager(given))
        with torch.inference_mode(), bed.compiled.one_run():
            for plan in plans:
                bed.board.switch(plan)
                made.append(bed.unet(**given)[0])
        for one, other in zip(made, wanted, strict=True):
            assert float((one - other).abs().max()) <= ROUNDING * float(other.abs().max())
        assert float((made[0] - made[1]).abs().max()) > 100 * ROUNDING * float(made[0].abs().max())
    assert (bed.graphs, bed.compiled.figures) == (graphs, before)


def test_what_a_graph_has_no_room_for_runs_eagerly(bed: Bed) -> None:
    given, before = arguments(), bed.compiled.figures
    bed.board.switch(bed.board.plan((ScaledAdapter(bed.adapter("lora", max(RANKS) + 1, 1), 1.0),)))
    assert torch.equal(bed.answer(given), bed.eager(given))
    assert bed.compiled.figures.eager_runs == before.eager_runs + 1
    assert bed.compiled.figures.graphs == before.graphs


def test_memory_for_pairs_is_counted(bed: Bed) -> None:
    assert bed.compiled.pair_bytes == sum(twin.size_bytes for twin in bed.compiled.ranked.values())
    linears = [m for m in bed.unet.modules() if isinstance(m, torch.nn.Linear)]
    assert bed.compiled.ranked[RankedKind(32, 2, False)].size_bytes == sum(
        4 * 32 * (m.in_features + m.out_features + 2) for m in linears
    )
