"""A switch between adapters that have been active before: pointers are set, and nothing else happens."""

from typing import Any

import pytest
import torch
from tests.runtime.networks import MAKERS, judged
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from lorapool_api.lora.layouts.keys import PARTS
from lorapool_runtime.adapters.file import ScaledAdapter
from lorapool_runtime.engine.diffusers.layers.delta import ModuleDelta
from lorapool_runtime.engine.diffusers.layers.switchboard import DeviceAdapter, Switchboard
from lorapool_runtime.engine.diffusers.plans import Plans
from lorapool_runtime.engine.diffusers.weights.parts import arranged


class Ops(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """What torch is asked to do: all that makes or changes a tensor comes by here."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.seen: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.seen.append(str(func))
        return func(*args, **(kwargs or {}))


@pytest.fixture
def model() -> nn.ModuleDict:
    convolution = nn.Conv2d(4, 6, 3, padding=1)
    return nn.ModuleDict({"one": nn.Linear(8, 12), "two": nn.Linear(12, 4), "three": convolution}).requires_grad_(False)


def loaded(board: Switchboard, kind: str, seed: int) -> DeviceAdapter:
    dice = torch.Generator().manual_seed(seed)
    changes = []
    for name in ("one", "two", "three"):
        target = board.find("unet", name)
        assert target is not None
        tensors = MAKERS[kind](target.shape, 2, dice)
        weight = judged(name, tensors, board.modules()).weight
        parts = arranged(weight, target.shape[1:], {PARTS[key]: t for key, t in tensors.items()})
        changes.append(ModuleDelta(target, weight.network, parts, 1.0))
    return DeviceAdapter(f"{kind} {seed}", tuple(changes), 0)


def test_a_switch_makes_no_module_and_no_tensor(model: nn.ModuleDict) -> None:
    before = [(name, id(module), id(getattr(module, "weight", None))) for name, module in model.named_modules()]
    board = Switchboard({"unet": model})
    plans = Plans(board)
    stacks: list[Any] = [
        (ScaledAdapter(loaded(board, kind, i), 0.5 + i),) for i, kind in enumerate(("lora", "dora", "lora"))
    ]
    stacks.append((stacks[0][0], stacks[2][0]))
    for stack in stacks:
        board.switch(plans.get(stack, merge=False))

    with Ops() as ops:
        for stack in [*stacks, *reversed(stacks)]:
            board.switch(plans.get(stack, merge=False))
            assert all(module.active is not None for module in model.values())
        board.clear()

    assert ops.seen == []
    after = [(name, id(module), id(getattr(module, "weight", None))) for name, module in model.named_modules()]
    assert after == before


def test_merged_weights_are_written_where_they_were_before(model: nn.ModuleDict) -> None:
    board = Switchboard({"unet": model})
    plans = Plans(board)
    stacks: list[Any] = [(ScaledAdapter(loaded(board, "loha", i), 1.0),) for i in range(3)]
    addresses, weights = set(), set()
    for stack in stacks * 2:
        board.switch(plans.get(stack, merge=True))
        active: Any = model["one"].active
        addresses.add(active.weight.data_ptr())
        weights.add(float(active.weight.sum()))
    assert len(addresses) == 1
    assert len(weights) == 3
    assert board.merged_bytes == sum(weight.nbytes for weight in model.parameters() if weight.dim() > 1)
