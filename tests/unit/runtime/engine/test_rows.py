"""Low-rank pairs added in target: for all rows, for each picture its own, and within what the dtype can hold."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from lorapool_api.lora.facts import Network
from lorapool_runtime.adapters.file import ScaledAdapter
from lorapool_runtime.engine.diffusers.layers.active import Unmerged
from lorapool_runtime.engine.diffusers.layers.adapted import activate, adapt, branch_of
from lorapool_runtime.engine.diffusers.layers.delta import ModuleDelta
from lorapool_runtime.engine.diffusers.layers.switchboard import DeviceAdapter, Stack, Switchboard

# Of the largest output, as for each network by itself.
TOLERANCE = {torch.float32: 2e-5, torch.float16: 8e-3, torch.bfloat16: 6e-2}
PLAIN: dict[str, Callable[[], nn.Module]] = {
    "linear": lambda: nn.Linear(8, 12),
    "linear of one position": lambda: nn.Linear(8, 12),
    "linear of a grid": lambda: nn.Linear(8, 12),
    "convolution": lambda: nn.Conv2d(8, 12, 3, padding=1),
}
SHAPE = {"linear": (5, 8), "linear of one position": (8,), "linear of a grid": (2, 3, 8), "convolution": (8, 4, 4)}


def loaded(board: Switchboard, rank: int, scale: float, seed: int) -> DeviceAdapter:
    target = board.find("unet", "m")
    assert target is not None
    dice, weight = torch.Generator().manual_seed(seed), target.module.weight
    kernel = (1,) * (weight.dim() - 2)
    down = torch.randn((rank, *weight.shape[1:]), generator=dice).to(weight.dtype)
    up = torch.randn((weight.shape[0], rank, *kernel), generator=dice).to(weight.dtype)
    change = ModuleDelta(target, Network.LORA, {"down": down, "up": up}, scale)
    return DeviceAdapter(f"{seed}", (change,), 0)


def exact(module: Any, x: Tensor, stack: Stack) -> Tensor:
    """The output with W' in float64."""
    weight, bias = module.weight.double(), module.bias.double()
    for scaled in stack:
        (change,) = scaled.adapter.deltas
        product = change.parts["up"].double().flatten(1) @ change.parts["down"].double().flatten(1)
        weight = weight + change.target.strength(scaled.scale) * change.scale * product.view_as(weight)
    if weight.dim() == 2:
        return nn.functional.linear(x.double(), weight, bias)
    return nn.functional.conv2d(x.double(), weight, bias, padding=1)


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("kind", PLAIN)
@pytest.mark.parametrize("copies", [1, 2])
@pytest.mark.parametrize("ranks", [(2, 3, 5), (70, 64, 90)], ids=["small ranks", "large ranks"])
def test_each_picture_gets_its_own_stack_and_no_other(
    kind: str, dtype: torch.dtype, copies: int, ranks: tuple[int, int, int]
) -> None:
    torch.manual_seed(1)
    owner = nn.ModuleDict({"m": PLAIN[kind]().to(dtype)}).requires_grad_(False)
    board = Switchboard({"unet": owner})
    one, two, three = (loaded(board, rank, 0.5, seed) for seed, rank in enumerate(ranks))
    stacks: list[tuple[Stack, int]] = [
        ((ScaledAdapter(one, 0.7), ScaledAdapter(two, -0.3)), 1),
        ((), 1),
        ((ScaledAdapter(three, 1.3),), 2),
    ]
    of_picture = [stack for stack, count in stacks for _ in range(count)]
    x = torch.randn((copies * len(of_picture), *SHAPE[kind])).to(dtype)
    board.switch(board.plan_rows(stacks))
    with torch.inference_mode():
        made = owner["m"](x)
        board.clear()
        bare = owner["m"](x)
    for row, stack in enumerate(of_picture * copies):
        wanted = exact(owner["m"], x[row : row + 1], stack)
        assert float((made[row : row + 1].double() - wanted).abs().max()) <= TOLERANCE[dtype] * float(
            wanted.abs().max()
        )
        if not stack:
            assert torch.equal(made[row], bare[row])


@pytest.mark.parametrize("kind", PLAIN)
@pytest.mark.parametrize("factor", [1.0, 1e6], ids=["one pair", "too far apart for one pair"])
def test_a_picture_whose_numbers_overflow_spoils_no_other(kind: str, factor: float) -> None:
    """A rank of another picture is infinite in these rows too, until it is left out."""
    owner = nn.ModuleDict({"m": PLAIN[kind]().half()}).requires_grad_(False)
    board = Switchboard({"unet": owner})
    large, usual = loaded(board, 2, 1.0, 1), loaded(board, 3, 1.0, 2)
    for delta in large.deltas:
        delta.parts["down"].fill_(6e4)
    x = torch.rand((4, *SHAPE[kind])).half() + 1
    board.switch(board.plan_rows([((ScaledAdapter(large, factor),), 1), ((ScaledAdapter(usual, 1.0),), 1)]))
    with torch.inference_mode():
        made = owner["m"](x)
    for row in (1, 3):
        wanted = exact(owner["m"], x[row : row + 1], (ScaledAdapter(usual, 1.0),))
        bound = TOLERANCE[torch.float16] * float(wanted.abs().max())
        assert float((made[row : row + 1].double() - wanted).abs().max()) <= bound
    assert not made[0].isfinite().all()


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("kind", PLAIN)
def test_a_stack_is_one_pair_that_adds_what_all_add(kind: str, dtype: torch.dtype) -> None:
    torch.manual_seed(1)
    owner = nn.ModuleDict({"m": PLAIN[kind]().to(dtype)}).requires_grad_(False)
    board = Switchboard({"unet": owner})
    some = zip((0.7, -0.3, 0.0, 1.1), (2, 16, 3, 1), strict=True)
    stack = tuple(ScaledAdapter(loaded(board, rank, 0.5, seed), scale) for seed, (scale, rank) in enumerate(some))
    plan = board.plan(stack)
    board.switch(plan)
    x = torch.randn((3, *SHAPE[kind])).to(dtype)
    with torch.inference_mode():
        made = owner["m"](x).double()
    wanted = exact(owner["m"], x, stack)
    assert float((made - wanted).abs().max()) <= TOLERANCE[dtype] * float(wanted.abs().max())
    (change,) = stack[0].adapter.deltas
    (active,) = (active for _, active in plan.unmerged)
    assert isinstance(active, Unmerged)
    assert len(active.branches) == 1
    # Counted of the budget: every rank once more.
    ranks = 2 + 16 + 3 + 1
    assert plan.own_bytes == ranks * (change.parts["down"][0].nbytes + change.parts["up"][:, 0].nbytes)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("kind", PLAIN)
def test_what_alpha_makes_small_is_never_formed_large(kind: str, dtype: torch.dtype) -> None:
    """alpha 1 over rank 128: B (A x) is 128 times what is added, and more than float16 holds."""
    module = adapt(PLAIN[kind]().to(dtype).requires_grad_(False))
    assert module is not None
    kernel = (1,) * (module.weight.dim() - 2)
    down = torch.full((128, *module.weight.shape[1:]), 4.0, dtype=dtype)
    up = torch.full((12, 128, *kernel), 30.0, dtype=dtype)
    activate(module, Unmerged((branch_of(module, down, up, 1 / 128),)))
    with torch.inference_mode():
        made = module(torch.ones((2, *SHAPE[kind]), dtype=dtype))
    assert made.isfinite().all()
    assert float(made.max()) > 900


def test_a_module_in_another_dtype_than_the_base_takes_pairs_all_the_same() -> None:
    """T5 keeps some of its modules in float32."""
    torch.manual_seed(1)
    module = adapt(nn.Linear(8, 12, bias=False).requires_grad_(False))
    assert module is not None
    down, up = torch.randn(2, 8).half(), torch.randn(12, 2).half()
    activate(module, Unmerged((branch_of(module, down, up, 0.5),)))
    x = torch.randn(3, 8)
    wanted = nn.functional.linear(x.double(), module.weight.double() + 0.5 * up.double() @ down.double())
    with torch.inference_mode():
        assert torch.allclose(module(x).double(), wanted, atol=1e-5)
