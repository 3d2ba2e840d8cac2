"""What rounding would lose of an adapter's change, against float64."""

import itertools

import pytest
import torch
from tests.reference import Part, weight_with
from tests.runtime.networks import MAKERS, Made, Shape
from tests.unit.runtime.engine.test_networks import Bench, rounded

from lorapool_runtime.engine.diffusers.layers.delta import ModuleDelta
from lorapool_runtime.engine.diffusers.weights.rounding import merge_loss
from lorapool_runtime.errors import Stopped

LINEAR: Shape = (48, 64)
CONVOLUTION: Shape = (16, 12, 3, 3)


def made(kind: str, shape: Shape, size: float, dtype: torch.dtype) -> tuple[Bench, Made]:
    """A module, and a file that changes it about so much."""
    dice = torch.Generator().manual_seed(7)
    bench = Bench.of(shape, dtype, dice)
    tensors = MAKERS[kind](shape, 4, dice)
    first = next(name for name in tensors if name not in ("alpha", "dora_scale"))
    return bench, rounded({**tensors, first: tensors[first] * size}, dtype)


def reference(bench: Bench, tensors: Made) -> float:
    """By its definition, in float64."""
    weight = bench.module.weight
    moved = weight_with(weight, [Part(tensors)])
    squares = (moved - weight.double()).square()
    return float(squares[moved.to(weight.dtype) == weight].sum() / squares.sum())


def never() -> bool:
    return False


@pytest.mark.parametrize("shape", [LINEAR, CONVOLUTION], ids=["linear", "convolution"])
@pytest.mark.parametrize("size", [1.0, 0.01, 0.001])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32])
@pytest.mark.parametrize("kind", sorted(MAKERS))
def test_the_share_is_that_of_float64(kind: str, dtype: torch.dtype, size: float, shape: Shape) -> None:
    bench, tensors = made(kind, shape, size, dtype)
    loss = merge_loss(bench.loaded("a", tensors).deltas, never)
    assert loss == pytest.approx(reference(bench, tensors), abs=2e-3)


def test_a_small_change_is_lost_in_a_coarse_type_and_kept_in_a_fine_one() -> None:
    def loss(dtype: torch.dtype, size: float) -> float:
        bench, tensors = made("lora", LINEAR, size, dtype)
        found = merge_loss(bench.loaded("a", tensors).deltas, never)
        assert found is not None
        return found

    assert loss(torch.bfloat16, 1.0) < 0.01
    assert 0.2 < loss(torch.bfloat16, 0.005) < 0.9
    assert loss(torch.float16, 0.005) < loss(torch.bfloat16, 0.005) / 3
    assert loss(torch.float32, 0.005) < 1e-6


def deltas(count: int) -> tuple[ModuleDelta, ...]:
    bench, tensors = made("lora", LINEAR, 0.01, torch.bfloat16)
    return bench.loaded("a", tensors).deltas * count


def test_of_a_large_file_some_modules_are_looked_at_and_no_longer_than_that() -> None:
    asked: list[None] = []

    def count() -> bool:
        asked.append(None)
        return False

    merge_loss(deltas(1000), count, most_modules=10)
    assert len(asked) == 10
    asked.clear()
    ticks = itertools.count()
    assert merge_loss(deltas(1000), count, most_s=3.0, clock=lambda: float(next(ticks))) is not None
    assert len(asked) == 3


def test_it_stops_between_two_modules_when_somebody_waits() -> None:
    asked = iter([False, False, True])
    with pytest.raises(Stopped):
        merge_loss(deltas(10), lambda: next(asked))


def test_an_adapter_that_changes_nothing_loses_nothing_that_could_be_told() -> None:
    bench, tensors = made("lora", LINEAR, 0.0, torch.bfloat16)
    assert merge_loss(bench.loaded("a", tensors).deltas, never) is None
