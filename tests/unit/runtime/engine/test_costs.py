"""Merged or unmerged: the choice from measured costs."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from lorapool_api.kinds.serving import ApplyMode
from lorapool_runtime.engine.diffusers.device.costs import (
    BudgetRoom,
    Choice,
    Costs,
    StackWork,
    choose,
    measure,
    prefers_merging,
)
from lorapool_runtime.engine.diffusers.layers.switchboard import Switchboard

# A launch of 20 us, 10 TFLOP/s, 2 TB/s: a GPU, roughly.
GPU = Costs(branch_s=4e-5, product_s=2e-13, merge_s=4e-12)
# SDXL's attention at rank 16.
ATTENTION = StackWork(branches=560, products=23_000_000, elements=955_000_000)


def test_a_picture_of_many_steps_is_worth_a_merge() -> None:
    assert prefers_merging(GPU, ATTENTION, forwards=25, positions=4096)


def test_on_a_slow_memory_one_step_is_not() -> None:
    slow = replace(GPU, merge_s=4e-10)
    assert not prefers_merging(slow, ATTENTION, forwards=1, positions=64)
    assert prefers_merging(slow, ATTENTION, forwards=100, positions=64)


def test_nothing_to_add_is_never_merged() -> None:
    assert not prefers_merging(GPU, StackWork(0, 0, 0), forwards=100, positions=4096)


# What kohya's trainer changes in SDXL if nobody says otherwise: attention, feed-forward and projections, at rank 32.
USUAL = StackWork(branches=722, products=171_000_000 // 2, elements=2_208_000_000)
GIB = 1024**3


def usual(budget: float, kept: float = 0.2, costs: Costs = GPU, forwards: int = 25) -> Choice:
    room = BudgetRoom(int(budget * GIB), int(kept * GIB))
    return choose(ApplyMode.AUTO, costs, USUAL, 2, room, forwards, pixels=2 * 1024 * 1024)


def test_the_usual_adapter_is_merged_on_a_card_that_has_room_for_it() -> None:
    # SDXL in float16 and a picture leave about 12 GiB of a card of 24.
    assert usual(budget=12).merge


def test_where_merged_weights_find_no_room_beside_what_runs_the_reason_has_the_numbers() -> None:
    choice = usual(budget=4)
    assert not choice.merge
    assert choice.why == "its merged weights take 4416000000 bytes, of the budget 4080218932 are left"
    assert not usual(budget=6, kept=2).merge


def test_what_merging_would_round_away_is_added_instead() -> None:
    room = BudgetRoom(12 * GIB, 0)

    def chosen(mode: ApplyMode, loss: float) -> Choice:
        return choose(mode, GPU, USUAL, 2, room, 25, 2 * 1024 * 1024, loss)

    assert chosen(ApplyMode.AUTO, 0.1).merge
    assert chosen(ApplyMode.AUTO, 0.43) == Choice(False, "merged it would lose 43% of its change to rounding")
    assert chosen(ApplyMode.MERGED, 0.43).merge


def test_a_choice_says_why() -> None:
    assert usual(budget=12).why == "25 forwards are cheaper with it merged"
    slow = replace(GPU, merge_s=4e-7)
    assert usual(budget=12, costs=slow) == Choice(False, "25 forwards are cheaper with it added")
    room = BudgetRoom(0, 0)
    assert choose(ApplyMode.MERGED, None, USUAL, 2, room, 1, 1) == Choice(True, "mode Merged")
    assert choose(ApplyMode.AUTO, GPU, StackWork(0, 0, 0), 2, room, 1, 1) == Choice(False, "nothing to merge")


class ScriptedClock:
    """Notes what is timed, and says how long it took: 2 s to add at one position each, 5 s at all, 3 s to merge."""

    def __init__(self) -> None:
        self.shapes: list[list[tuple[int, ...]]] = []

    def seconds(self, work: Callable[[], object]) -> float:
        with Products() as seen:
            work()
        self.shapes.append(seen.shapes)
        return 3.0 if any(len(shape) == 4 for shape in seen.shapes) else 5.0 if (64, 16) in seen.shapes else 2.0


class Products(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """The shapes of products: (rows, inner) for one that is added, four numbers for a merge."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.shapes: list[tuple[int, ...]] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is torch.ops.aten.mm.default:
            self.shapes.append(tuple(args[0].shape))
        if func is torch.ops.aten.addmm.out:
            self.shapes.append((*args[1].shape, *args[2].shape))
        return func(*args, **(kwargs or {}))


def test_costs_are_measured_on_the_base_s_own_shapes_one_module_after_the_other() -> None:
    shapes = [(32, 16), (48, 24)]
    owner = nn.ModuleDict({f"m{i}": nn.Linear(into, out) for i, (out, into) in enumerate(shapes)})
    targets = Switchboard({"unet": owner.requires_grad_(False)}).linears("unet", 48)
    clock: Any = ScriptedClock()
    found = measure(targets, [64, 7], 0.25, clock)
    assert [(64, 16), (7, 24)] in clock.shapes
    assert [(1, 16), (1, 24)] in clock.shapes
    assert [(32, 16, 16, 16), (48, 16, 16, 24)] in clock.shapes
    products = 16 * (63 * (32 + 16) + 6 * (48 + 24))
    assert found == Costs(2.0 / 2, (5.0 - 2.0) / products, 3.0 / (32 * 16 + 48 * 24), 0.25)


costs = st.builds(Costs, *(st.floats(1e-15, 1e-2) for _ in range(3)))
works = st.builds(StackWork, *(st.integers(0, 10**9) for _ in range(3)))


@given(costs, works, st.integers(1, 1000), st.floats(1, 1e6), st.integers(1, 50))
def test_more_of_the_same_never_speaks_against_a_merge(
    costs: Costs, work: StackWork, forwards: int, positions: float, times: int
) -> None:
    if prefers_merging(costs, work, forwards, positions):
        assert prefers_merging(costs, work, forwards * times, positions)
        assert prefers_merging(costs, work, forwards, positions * times)
