"""What applying adapters asks of a device: launches, and bytes of weights that move."""

from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from lorapool_api.lora.networks import Network
from lorapool_runtime.adapters.file import ScaledAdapter
from lorapool_runtime.engine.diffusers.layers.delta import ModuleDelta
from lorapool_runtime.engine.diffusers.layers.switchboard import DeviceAdapter, Switchboard

# SDXL's attention and feed-forward at its widths, a tenth as many: (outputs, inputs), and a convolution.
SHAPES = [(640, 640)] * 8 + [(1280, 640)] * 4 + [(640, 2048)] * 2
KERNEL = (64, 64, 3, 3)
# W' rounded once is no further off than half of its last bit; the rest is of the sum in float32.
ONCE = {torch.float32: 2.0**-22, torch.float16: 2.0**-11, torch.bfloat16: 2.0**-8}


class Counter(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Kernels that a device would be asked for, and the bytes of what they read and write; views are none."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.launches: list[str] = []
        self.moved_bytes = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        found = func(*args, **(kwargs or {}))
        read = [a for a in (*args, *(kwargs or {}).values()) if isinstance(a, Tensor)]
        if not func.is_view and func is not torch.ops.aten.empty_like.default:
            self.launches.append(str(func))
            written = [] if any(found is a for a in read) else [found]
            self.moved_bytes += sum(t.nbytes for t in (*read, *written) if isinstance(t, Tensor))
        return found


def board_of(modules: Sequence[nn.Module], dtype: torch.dtype) -> tuple[nn.ModuleDict, Switchboard]:
    torch.manual_seed(5)
    owner = nn.ModuleDict({f"m{i}": module.to(dtype) for i, module in enumerate(modules)}).requires_grad_(False)
    return owner, Switchboard({"unet": owner})


def loaded(board: Switchboard, name: str, rank: int = 16, scale: float = 0.5) -> DeviceAdapter:
    deltas = []
    for module in board.modules()["unet"]:
        target = board.find("unet", module)
        assert target is not None
        weight = target.module.weight
        ones = (1,) * (weight.dim() - 2)
        down = torch.randn((rank, *weight.shape[1:])).to(weight.dtype) * 0.05
        up = torch.randn((weight.shape[0], rank, *ones)).to(weight.dtype) * 0.05
        deltas.append(ModuleDelta(target, Network.LORA, {"down": down, "up": up}, scale))
    return DeviceAdapter(name, tuple(deltas), 0)


def linears(shapes: Sequence[tuple[int, int]] = SHAPES) -> list[nn.Module]:
    return [nn.Linear(inputs, outputs) for outputs, inputs in shapes]


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_a_merge_is_one_launch_a_module_and_moves_each_weight_once(dtype: torch.dtype) -> None:
    _, board = board_of([*linears(), nn.Conv2d(KERNEL[1], KERNEL[0], 3)], dtype)
    plan = board.plan((ScaledAdapter(loaded(board, "a"), 0.8),), merge=True)
    elements = sum(merge.module.weight.numel() for merge in plan.merges)
    with Counter() as counted:
        board.switch(plan)
    assert len(plan.merges) == len(SHAPES) + 1
    assert len(counted.launches) <= len(plan.merges), counted.launches
    # Two to read, two to write, and the pairs.
    assert counted.moved_bytes <= 6 * elements
    assert counted.moved_bytes >= 4 * elements


@pytest.mark.parametrize("dtype", ONCE)
@pytest.mark.parametrize("rank", [1, 16, 128])
def test_a_merge_in_place_of_the_dtype_is_float64_rounded_once(dtype: torch.dtype, rank: int) -> None:
    _, board = board_of([nn.Linear(96, 80), nn.Conv2d(16, 24, 3)], dtype)
    adapter = loaded(board, "a", rank, 0.37)
    board.switch(board.plan((ScaledAdapter(adapter, 0.9),), merge=True))
    for delta in adapter.deltas:
        module: Any = delta.target.module
        up, down = (delta.parts[part].double().flatten(1) for part in ("up", "down"))
        exact = module.weight.double() + 0.9 * 0.37 * (up @ down).view_as(module.weight)
        bound = exact.abs() * ONCE[dtype] + exact.abs().max() * 1e-6
        assert ((module.active.weight.double() - exact).abs() <= bound).all()
        assert module.active.weight.dtype is dtype
        assert not torch.equal(module.active.weight, module.weight)


@pytest.mark.parametrize("strengths", [(0.8, 0.8), (0.8, -0.3), (1.0, 0.5, 0.07)], ids=str)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_a_stack_is_merged_by_one_product_a_module(dtype: torch.dtype, strengths: tuple[float, ...]) -> None:
    _, board = board_of([*linears(), nn.Conv2d(KERNEL[1], KERNEL[0], 3)], dtype)
    stack = tuple(ScaledAdapter(loaded(board, str(i), 4), strength) for i, strength in enumerate(strengths))
    plan = board.plan(stack, merge=True)
    elements = sum(merge.module.weight.numel() for merge in plan.merges)
    with Counter() as counted:
        board.switch(plan)
    products = [name for name in counted.launches if "mm" in name]
    assert len(products) == len(plan.merges) == len(SHAPES) + 1
    assert counted.moved_bytes <= 6 * elements


@pytest.mark.parametrize("dtype", ONCE)
@pytest.mark.parametrize("strengths", [(0.9, 0.9), (0.9, -0.37), (1.0, 0.5, 3e-3)], ids=str)
def test_a_merged_stack_is_float64_rounded_once(dtype: torch.dtype, strengths: tuple[float, ...]) -> None:
    _, board = board_of([nn.Linear(96, 80), nn.Conv2d(16, 24, 3)], dtype)
    ranks = (16, 128, 3)
    stack = tuple(ScaledAdapter(loaded(board, str(i), ranks[i]), strength) for i, strength in enumerate(strengths))
    board.switch(board.plan(stack, merge=True))
    for deltas in zip(*(scaled.adapter.deltas for scaled in stack), strict=True):
        module: Any = deltas[0].target.module
        exact = module.weight.double()
        for delta, strength in zip(deltas, strengths, strict=True):
            up, down = (delta.parts[part].double().flatten(1) for part in ("up", "down"))
            exact = exact + strength * delta.scale * (up @ down).view_as(module.weight)
        bound = exact.abs() * ONCE[dtype] + exact.abs().max() * 1e-6
        assert ((module.active.weight.double() - exact).abs() <= bound).all()


def launches(owner: nn.ModuleDict, width: int, rows: int) -> int:
    with torch.inference_mode():
        x = torch.randn(rows, 4, width)
        next(iter(owner.values()))(x)  # what all modules share of a batch is made for its first one
        with Counter() as counted:
            for module in owner.values():
                module(x)
    return len(counted.launches)


Activation = Callable[[Switchboard], Any]


def one(board: Switchboard) -> Any:
    return board.plan((ScaledAdapter(loaded(board, "a"), 0.8),))


def three(board: Switchboard) -> Any:
    """Of ranks and strengths of their own."""
    return board.plan(tuple(ScaledAdapter(loaded(board, str(i), 4 * i), 0.3 * i) for i in (1, 2, 3)))


def mixed(board: Switchboard) -> Any:
    """Four pictures, an adapter each."""
    return board.plan_rows([((ScaledAdapter(loaded(board, str(i), 4 * (i + 1)), 0.5 + i),), 1) for i in range(4)])


def wide(board: Switchboard) -> Any:
    """Four pictures with an adapter each of a large rank, of one strength."""
    return board.plan_rows([((ScaledAdapter(loaded(board, str(i), 64), 0.5),), 1) for i in range(4)])


@pytest.mark.parametrize(
    ("activate", "rows", "more"),
    [(one, 4, 2), (three, 4, 2), (mixed, 4, 3), (mixed, 8, 3), (wide, 4, 2), (wide, 8, 4)],
    ids=["one", "a stack of three", "mixed", "mixed, guided", "mixed, of large ranks", "mixed, of large ranks, guided"],
)
def test_adding_costs_a_few_launches_a_module_however_many_adapters(activate: Activation, rows: int, more: int) -> None:
    owner, board = board_of(linears([(24, 16)] * 10), torch.float32)
    bare = launches(owner, width=16, rows=rows)
    board.switch(activate(board))
    assert launches(owner, width=16, rows=rows) - bare == more * len(owner)
