"""Merged or unmerged: the choice from measured costs."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from lorapool_runtime.engine.diffusers.costs import Costs, Work, prefers_merging

# A launch of 20 us, 10 TFLOP/s, 2 TB/s: a GPU, roughly.
GPU = Costs(branch_s=4e-5, product_s=2e-13, merge_s=4e-12)
# SDXL's attention at rank 16.
ATTENTION = Work(branches=560, products=23_000_000, elements=955_000_000)


def test_a_picture_of_many_steps_is_worth_a_merge() -> None:
    assert prefers_merging(GPU, ATTENTION, forwards=25, positions=4096)


def test_on_a_slow_memory_one_step_is_not() -> None:
    slow = replace(GPU, merge_s=4e-10)
    assert not prefers_merging(slow, ATTENTION, forwards=1, positions=64)
    assert prefers_merging(slow, ATTENTION, forwards=100, positions=64)


def test_nothing_to_add_is_never_merged() -> None:
    assert not prefers_merging(GPU, Work(0, 0, 0), forwards=100, positions=4096)


costs = st.builds(Costs, *(st.floats(1e-15, 1e-2) for _ in range(3)))
works = st.builds(Work, *(st.integers(0, 10**9) for _ in range(3)))


@given(costs, works, st.integers(1, 1000), st.floats(1, 1e6), st.integers(1, 50))
def test_more_of_the_same_never_speaks_against_a_merge(
    costs: Costs, work: Work, forwards: int, positions: float, times: int
) -> None:
    if prefers_merging(costs, work, forwards, positions):
        assert prefers_merging(costs, work, forwards * times, positions)
        assert prefers_merging(costs, work, forwards, positions * times)
