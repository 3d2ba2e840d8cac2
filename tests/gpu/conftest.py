"""What runs on a machine with a CUDA device; what can runs on the CPU too, so that it is not forgotten.

`make test-gpu`. A test that names `device` runs on both; one that names `cuda` only where there is such a device.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from tests import tiny

from lorapool_api.kinds.base_model import BaseModelSpec, Dtype
from lorapool_api.kinds.runtime import Device
from lorapool_api.kinds.serving import ApplyMode, Serving, ServingDefaults, ServingLimits
from lorapool_api.kinds.sources import ModelSource
from lorapool_runtime.engine.diffusers.engine import DiffusersEngine
from lorapool_runtime.engine.diffusers.load import load_engine

Make = Callable[..., DiffusersEngine]


def need_cuda() -> None:
    if not torch.cuda.is_available():
        pytest.skip("this machine has no CUDA device that torch can use")


@pytest.fixture(params=[Device.CPU, Device.CUDA])
def device(request: pytest.FixtureRequest) -> Device:
    if request.param is Device.CUDA:
        need_cuda()
    return Device(request.param)


@pytest.fixture
def cuda() -> torch.device:
    need_cuda()
    return torch.device("cuda")


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.make_pipeline(tmp_path_factory.mktemp("models") / "tiny-xl")


def load_reference(model: Path) -> Any:
    """The pipeline as diffusers itself loads it, on the CPU in float32."""
    from diffusers import StableDiffusionXLPipeline

    return StableDiffusionXLPipeline.from_pretrained(model, add_watermarker=False)


def make_engine(
    model: Path, device: Device, dtype: Dtype = Dtype.FLOAT16, mode: ApplyMode = ApplyMode.UNMERGED, max_batch: int = 1
) -> DiffusersEngine:
    """A loaded engine on that device."""
    usual = ServingDefaults(width=tiny.SIZE, height=tiny.SIZE)
    limits = ServingLimits(pixels=4 * tiny.SIZE**2)
    serving = Serving(mode=mode, max_batch=max_batch, defaults=usual, limits=limits)
    spec = BaseModelSpec(source=ModelSource.model_construct(path=str(model)), dtype=dtype)
    return load_engine(spec, device, None, serving)
