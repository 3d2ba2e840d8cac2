"""Every kind of network in one module, unmerged and merged, against W' in float64."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.reference import Part, delta, weight_with
from tests.runtime.networks import MAKERS, ROTATIONS, Made, Shape, judged
from torch import Tensor, nn

from lorapool_api.lora.header import FactsError
from lorapool_api.lora.layouts.keys import PARTS
from lorapool_runtime.adapters.file import ScaledAdapter
from lorapool_runtime.engine.diffusers.layers.adapted import activate
from lorapool_runtime.engine.diffusers.layers.delta import ModuleDelta, merge_into
from lorapool_runtime.engine.diffusers.layers.merged import Merge
from lorapool_runtime.engine.diffusers.layers.switchboard import DeviceAdapter, Switchboard
from lorapool_runtime.engine.diffusers.layers.target import TargetModule
from lorapool_runtime.engine.diffusers.weights.parts import arranged

# What rounding may change, relative to the largest output; bfloat16 has 8 bits, float16 has 11, float32 has 24.
TOLERANCE = {torch.float32: 2e-5, torch.float16: 8e-3, torch.bfloat16: 6e-2}
SHAPES: list[Shape] = [(12, 8), (6, 35), (1, 16), (16, 1), (8, 12, 3, 3), (10, 4, 1, 1), (4, 6, 1, 3)]


@dataclass
class Bench:
    """One module on a switchboard, and how files become what it takes."""

    module: Any
    board: Switchboard
    target: TargetModule

    @classmethod
    def of(cls, shape: Shape, dtype: torch.dtype, dice: torch.Generator, merge: Merge = merge_into) -> "Bench":
        plain: Any = nn.Linear(shape[1], shape[0])
        if len(shape) == 4:
            plain = nn.Conv2d(shape[1], shape[0], (shape[2], shape[3]), padding="same")
        plain.weight.data = torch.randn(shape, generator=dice)
        owner = nn.ModuleDict({"m": plain.to(dtype)}).requires_grad_(False)
        board = Switchboard({"unet": owner}, merge)
        target = board.find("unet", "m")
        assert target is not None
        return cls(owner["m"], board, target)

    def loaded(self, name: str, tensors: Made) -> DeviceAdapter:
        weight = judged("m", tensors, self.board.modules()).weight
        whole = arranged(weight, self.target.shape[1:], {PARTS[key]: tensor for key, tensor in tensors.items()})
        parts = {part: tensor.to(self.module.weight.dtype) for part, tensor in whole.items()}
        scale = (
            float(tensors["alpha"]) / weight.rank if "alpha" in tensors and weight.rank and weight.has_scale else 1.0
        )
        return DeviceAdapter(name, (ModuleDelta(self.target, weight.network, parts, scale),), 0)

    def input(self, dice: torch.Generator) -> Tensor:
        inputs, *kernel = self.target.shape[1:]
        shape = (2, inputs, 5, 5) if kernel else (2, 3, inputs)
        return torch.randn(shape, generator=dice).to(self.module.weight.dtype)

    def by_weight(self, x: Tensor, weight: Tensor) -> Tensor:
        """The module's output with another weight, in float64."""
        if weight.dim() == 2:
            return nn.functional.linear(x.double(), weight, self.module.bias.double())
        return nn.functional.conv2d(x.double(), weight, self.module.bias.double(), padding="same")


def rounded(tensors: Made, dtype: torch.dtype) -> Made:
    """The tensors as they can be in that dtype; alpha stays: it is read as a number."""
    return {name: t if name == "alpha" else t.to(dtype).float() for name, t in tensors.items()}


stacks = st.lists(
    st.tuples(st.sampled_from(sorted(MAKERS)), st.integers(1, 5), st.sampled_from([1.0, 0.5, -0.75, 1.6])),
    min_size=1,
    max_size=3,
).filter(lambda stack: sum("dora" in kind for kind, _, _ in stack) <= 1)


@given(
    stack=stacks,
    shape=st.sampled_from(SHAPES),
    dtype=st.sampled_from(sorted(TOLERANCE, key=str)),
    merge=st.booleans(),
    seed=st.integers(0, 10_000),
)
@settings(max_examples=300, deadline=None)
def test_a_stack_in_a_module_is_the_float64_weight(
    stack: list[tuple[str, int, float]], shape: Shape, dtype: torch.dtype, merge: bool, seed: int
) -> None:
    dice = torch.Generator().manual_seed(seed)
    bench = Bench.of(shape, dtype, dice)
    before = bench.module.weight.clone()
    files = [rounded(MAKERS[kind](shape, rank, dice), dtype) for kind, rank, _ in stack]
    x = bench.input(dice)
    bare = bench.module(x)
    wanted = bench.by_weight(
        x, weight_with(before, [Part(file, strength) for file, (_, _, strength) in zip(files, stack, strict=True)])
    )
    loaded = tuple(ScaledAdapter(bench.loaded(f"file {i}", file), stack[i][2]) for i, file in enumerate(files))

    bench.board.switch(bench.board.plan(loaded, merge=merge))
    made = bench.module(x)

    largest = float(wanted.abs().max())
    doras = [(f, s) for f, (kind, _, s) in zip(files, stack, strict=True) if kind == "dora"]
    room = max([1.0, *(_cancelled(before, file, strength) for file, strength in doras)])
    assert float((made.double() - wanted).abs().max()) <= TOLERANCE[dtype] * largest * room
    bench.board.clear()
    assert torch.equal(bench.module(x), bare)
    assert torch.equal(bench.module.weight, before)


def _cancelled(weight: Tensor, file: Made, strength: float) -> float:
    """How much longer than its sum the parts of a row are: a DoRA stretches the sum's rounding as much."""
    moved = strength * delta(Part(file), weight.shape)
    parts = (weight.double().abs() + moved.abs()).flatten(1).norm(dim=1)
    return float((parts / (weight.double() + moved).flatten(1).norm(dim=1)).max())


@pytest.mark.parametrize("shape", [(12, 8), (8, 12, 3, 3)])
@pytest.mark.parametrize("kind", ["full", "lora"])
def test_the_difference_of_a_bias_is_applied_with_the_weight(kind: str, shape: Shape) -> None:
    """A bias cannot be added at every step: with one the module is merged, whatever was asked for."""
    dice = torch.Generator().manual_seed(3)
    bench = Bench.of(shape, torch.float32, dice)
    made = {"diff": torch.randn(shape, generator=dice)} if kind == "full" else MAKERS["lora"](shape, 2, dice)
    bias = torch.randn(shape[0], generator=dice)
    change = made["diff"] if kind == "full" else delta(Part(made), shape).float()
    x = bench.input(dice)
    bare = bench.module(x)
    moved = 0.5 * bias.view(-1, *(1 for _ in shape[2:]))
    wanted = bench.by_weight(x, bench.module.weight.double() + 0.5 * change) + moved

    bench.board.switch(bench.board.plan((ScaledAdapter(bench.loaded("one", made | {"diff_b": bias}), 0.5),)))

    torch.testing.assert_close(bench.module(x).double(), wanted, rtol=1e-5, atol=1e-4)
    bench.board.clear()
    assert torch.equal(bench.module(x), bare)


def test_a_switch_back_and_forth_merges_no_weight_again() -> None:
    merges: list[Tensor] = []

    def merge(out: Tensor, weight: Tensor, deltas: Sequence[tuple[ModuleDelta, float]]) -> None:
        merges.append(weight)
        merge_into(out, weight, deltas)

    dice = torch.Generator().manual_seed(1)
    bench = Bench.of((12, 8), torch.float32, dice, merge)
    plan = bench.board.plan((ScaledAdapter(bench.loaded("one", MAKERS["lokr"]((12, 8), 2, dice)), 1.0),))
    bench.board.switch(plan)
    address = bench.module.active.weight.data_ptr()

    bench.board.clear()
    bench.board.switch(plan)

    assert bench.module.active.weight.data_ptr() == address
    assert len(merges) == 1


def test_what_fails_in_the_middle_of_a_merge_leaves_the_base_active() -> None:
    is_full = False

    def merge(out: Tensor, weight: Tensor, deltas: Sequence[tuple[ModuleDelta, float]]) -> None:
        if is_full:
            raise torch.OutOfMemoryError("no room")
        merge_into(out, weight, deltas)

    dice = torch.Generator().manual_seed(1)
    bench = Bench.of((12, 8), torch.float32, dice, merge)
    x = bench.input(dice)
    bare = bench.module(x)
    first, second = (bench.loaded(n, MAKERS["loha"]((12, 8), 2, dice)) for n in ("one", "two"))
    bench.board.switch(bench.board.plan((ScaledAdapter(first, 1.0),)))
    made = bench.module(x)

    is_full = True
    with pytest.raises(torch.OutOfMemoryError):
        bench.board.switch(bench.board.plan((ScaledAdapter(second, 1.0),)))
    is_full = False

    assert torch.equal(bench.module(x), bare)
    bench.board.switch(bench.board.plan((ScaledAdapter(first, 1.0),)))
    assert torch.equal(bench.module(x), made)


@pytest.mark.parametrize("kind", sorted(MAKERS))
@pytest.mark.parametrize("shape", [(12, 8), (8, 12, 3, 3)])
def test_a_file_for_another_shape_is_refused(kind: str, shape: Shape) -> None:
    dice = torch.Generator().manual_seed(1)
    bench = Bench.of(shape, torch.float32, dice)
    others = [(shape[0] + 2, *shape[1:]), (shape[0], shape[1] + 3, *shape[2:])]
    for other in others[:1] if kind in ROTATIONS else others:
        tensors = MAKERS[kind](other, 2, dice)
        with pytest.raises(FactsError):
            judged("m", tensors, bench.board.modules())


@pytest.mark.parametrize("kind", sorted(MAKERS))
def test_no_part_may_be_missing_but_alpha(kind: str) -> None:
    shape: Shape = (8, 12, 3, 3)
    bench = Bench.of(shape, torch.float32, torch.Generator().manual_seed(1))
    whole = MAKERS[kind](shape, 3, torch.Generator().manual_seed(2))
    optional = {"alpha", "dora_scale", "rescale"}
    for missing in whole.keys() - optional:
        left = {key: t for key, t in whole.items() if key != missing}
        with pytest.raises(FactsError):
            judged("m", left, bench.board.modules())


@pytest.mark.parametrize("extra", ["hada_t1", "lokr_w1", "mid"])
def test_parts_of_two_networks_in_one_module_are_refused(extra: str) -> None:
    bench = Bench.of((12, 8), torch.float32, torch.Generator().manual_seed(1))
    made = MAKERS["loha" if extra == "mid" else "lora"]((12, 8), 2, torch.Generator().manual_seed(1))
    name = next(key for key, part in PARTS.items() if part == extra)
    with pytest.raises(FactsError):
        judged("m", made | {name: torch.ones(2, 2)}, bench.board.modules())
    activate(bench.module, None)
