"""Stacks and batches in half precision on each device, at widths whose products a device splits up, against float64."""

from typing import Any

import pytest
import torch
from torch import nn

from lorapool_api.kinds.runtime import Device
from lorapool_api.lora.networks import Network
from lorapool_runtime.adapters.file import ScaledAdapter
from lorapool_runtime.engine.diffusers.layers.delta import ModuleDelta
from lorapool_runtime.engine.diffusers.layers.switchboard import DeviceAdapter, Stack, Switchboard

# Of the largest output: low-rank pair and sum are rounded one after the other.
UNMERGED = {torch.float16: 8e-3, torch.bfloat16: 6e-2}
# Half of the last bit, and what float32 adds up.
ONCE = {torch.float16: 2.0**-11, torch.bfloat16: 2.0**-8}
SHAPE = {"linear": (48, 640), "convolution": (64, 12, 12)}


def made(kind: str, device: Device, dtype: torch.dtype) -> tuple[Any, Switchboard]:
    torch.manual_seed(1)
    module = nn.Linear(640, 1280) if kind == "linear" else nn.Conv2d(64, 96, 3, padding=1)
    owner = nn.ModuleDict({"m": module.to(device.value, dtype)}).requires_grad_(False)
    return owner["m"], Switchboard({"unet": owner})


def loaded(board: Switchboard, rank: int, seed: int) -> DeviceAdapter:
    target = board.find("unet", "m")
    assert target is not None
    dice, weight = torch.Generator().manual_seed(seed), target.module.weight
    ones = (1,) * (weight.dim() - 2)
    down = torch.randn((rank, *weight.shape[1:]), generator=dice) * 0.05
    up = torch.randn((weight.shape[0], rank, *ones), generator=dice) * 0.05
    parts = {"down": down.to(weight), "up": up.to(weight)}
    return DeviceAdapter(f"{seed}", (ModuleDelta(target, Network.LORA, parts, 0.5),), 0)


def weight_of(module: Any, stack: Stack) -> torch.Tensor:
    """W' in float64 on the CPU."""
    weight = module.weight.double().cpu()
    for scaled in stack:
        (delta,) = scaled.adapter.deltas
        up, down = (delta.parts[part].double().cpu().flatten(1) for part in ("up", "down"))
        weight = weight + delta.target.strength(scaled.scale) * delta.scale * (up @ down).view_as(weight)
    return weight  # type: ignore[no-any-return]


@pytest.mark.parametrize("dtype", UNMERGED)
@pytest.mark.parametrize("kind", SHAPE)
@pytest.mark.parametrize("rank", [16, 64], ids=["side by side", "a product each"])
def test_four_guided_pictures_with_an_adapter_each(kind: str, device: Device, dtype: torch.dtype, rank: int) -> None:
    module, board = made(kind, device, dtype)
    stacks: list[Stack] = [(ScaledAdapter(loaded(board, rank, i), 0.4 * i - 0.5),) for i in range(3)]
    stacks.append(())
    x = torch.randn((8, *SHAPE[kind])).to(dtype)
    board.switch(board.plan_rows([(stack, 1) for stack in stacks]))
    with torch.inference_mode():
        found = module(x.to(device.value)).double().cpu()
        for row in range(8):
            weight, bias, one = (
                weight_of(module, stacks[row % 4]),
                module.bias.double().cpu(),
                x[row : row + 1].double(),
            )
            linear = nn.functional.linear
            exact = (
                linear(one, weight, bias) if kind == "linear" else nn.functional.conv2d(one, weight, bias, padding=1)
            )
            assert float((found[row : row + 1] - exact).abs().max()) <= UNMERGED[dtype] * float(exact.abs().max())


@pytest.mark.parametrize("dtype", ONCE)
@pytest.mark.parametrize("kind", SHAPE)
def test_a_merged_stack_is_rounded_once(kind: str, device: Device, dtype: torch.dtype) -> None:
    module, board = made(kind, device, dtype)
    stack = tuple(ScaledAdapter(loaded(board, 16 * (i + 1), i), 0.9 - 0.7 * i) for i in range(3))
    board.switch(board.plan(stack, merge=True))
    exact = weight_of(module, stack)
    bound = exact.abs() * ONCE[dtype] + exact.abs().max() * 1e-5
    assert ((module.active.weight.double().cpu() - exact).abs() <= bound).all()
