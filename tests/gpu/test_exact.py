"""Every format in half precision, on each device: weights and outputs against float64."""

from pathlib import Path
from typing import Any

import pytest
import torch
from tests.gpu.conftest import load_reference, make_engine
from tests.reference import Part, weight_with
from tests.runtime.ask import adapter_file
from tests.runtime.files import EVERY

from lorapool_api.kinds.base_model import Dtype
from lorapool_api.kinds.runtime import Device
from lorapool_runtime.adapters.file import ScaledAdapter
from lorapool_runtime.engine.diffusers.base.by_family import DTYPES
from lorapool_runtime.engine.diffusers.engine import DiffusersEngine
from lorapool_runtime.engine.diffusers.layers.active import Unmerged
from lorapool_runtime.engine.diffusers.layers.delta import ModuleDelta

STRENGTH = 0.7
# Half of the last bit: a merged weight is rounded once, from what float32 has added up.
ONCE = {Dtype.FLOAT16: 2.0**-11, Dtype.BFLOAT16: 2.0**-8}
FLOAT32 = 1e-5
# Of the largest output: low-rank pair, sum and gain are rounded one after the other.
UNMERGED = {Dtype.FLOAT16: 8e-3, Dtype.BFLOAT16: 6e-2}
# Names of parts as the reference has them.
NAMES = {
    "down": "lora_down.weight",
    "up": "lora_up.weight",
    "magnitude": "lora_magnitude_vector",
    "magnitude_in": "dora_scale",
}


@pytest.fixture(scope="module")
def engines(model: Path) -> dict[tuple[Device, Dtype], DiffusersEngine]:
    return {}


@pytest.fixture
def engine(
    engines: dict[tuple[Device, Dtype], DiffusersEngine], model: Path, device: Device, dtype: Dtype
) -> DiffusersEngine:
    if (device, dtype) not in engines:
        engines[device, dtype] = make_engine(model, device, dtype)
    return engines[device, dtype]


def wanted(delta: ModuleDelta) -> torch.Tensor:
    """W' in float64, from the parts as the base's dtype holds them."""
    tensors = {NAMES.get(name, name): part.double().cpu() for name, part in delta.parts.items()}
    weight = delta.target.module.weight.detach().double().cpu()
    return weight_with(weight, [Part(tensors, STRENGTH * delta.scale)])


@pytest.mark.filterwarnings("ignore:`upcast_vae` is deprecated:FutureWarning")
@pytest.mark.parametrize("dtype", [Dtype.FLOAT16, Dtype.BFLOAT16])
@pytest.mark.parametrize("kind", EVERY)
def test_every_format_is_what_float64_says(
    engine: DiffusersEngine, kind: str, dtype: Dtype, model: Path, tmp_path: Path
) -> None:
    adapter = engine.read(adapter_file(EVERY[kind](load_reference(model), tmp_path)))
    loaded = engine.memory.load(adapter)
    board, dice = engine.parts.board, torch.Generator().manual_seed(3)
    for merge in (True, False):
        board.switch(board.plan((ScaledAdapter(loaded, STRENGTH),), merge=merge))
        for delta in loaded.deltas:
            module: Any = delta.target.module
            exact = wanted(delta)
            if isinstance(module.active, Unmerged):
                apart(module, exact, DTYPES[dtype], dice, UNMERGED[dtype])
            else:
                found = module.active.weight.double().cpu()
                bound = exact.abs() * ONCE[dtype] + exact.abs().max() * FLOAT32
                assert ((found - exact).abs() <= bound).all(), str(delta.target)
    board.release()


def apart(module: Any, weight: torch.Tensor, dtype: torch.dtype, dice: torch.Generator, bound: float) -> None:
    """The module's output is the one of that weight."""
    inputs, *kernel = module.weight.shape[1:]
    x = torch.randn((2, inputs, 8, 8) if kernel else (2, 16, inputs), generator=dice).to(dtype)
    bias = None if module.bias is None else module.bias.detach().double().cpu()
    with torch.inference_mode():
        found = module(x.to(module.weight.device)).double().cpu()
        if kernel:
            exact = torch.nn.functional.conv2d(x.double(), weight, bias, module.stride, module.padding)
        else:
            exact = torch.nn.functional.linear(x.double(), weight, bias)
    assert float((found - exact).abs().max()) <= bound * float(exact.abs().max())


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_products_that_the_dtype_cannot_hold_are_never_formed_alone(device: Device, dtype: torch.dtype) -> None:
    """alpha 1 over rank 128: B (A x) is 128 times what is added."""
    from lorapool_runtime.engine.diffusers.layers.adapted import activate, adapt, branch_of

    for plain, shape in ((torch.nn.Linear(64, 64), (2, 9, 64)), (torch.nn.Conv2d(64, 64, 3, padding=1), (2, 64, 6, 6))):
        module = adapt(plain.to(device.value, dtype).requires_grad_(False))
        assert module is not None
        kernel = (1,) * (module.weight.dim() - 2)
        down = torch.full((128, *module.weight.shape[1:]), 0.5, dtype=dtype, device=device.value)
        up = torch.full((64, 128, *kernel), 30.0, dtype=dtype, device=device.value)
        activate(module, Unmerged((branch_of(module, down, up, 1 / 128),)))
        with torch.inference_mode():
            made = module(torch.ones(shape, dtype=dtype, device=device.value))
        assert made.isfinite().all()
