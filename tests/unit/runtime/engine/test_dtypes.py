"""The dtype of a base that the pool says nothing about, and how exact its kernels are asked to be."""

from collections.abc import Iterator
from types import SimpleNamespace

import pytest
import torch

from lorapool_api.kinds.base_model import Dtype
from lorapool_api.kinds.runtime import Device
from lorapool_runtime.engine.diffusers.base.pipeline import _dtype, _settle


@pytest.mark.parametrize(
    ("family", "dtype"),
    [
        ("FluxPipeline", torch.bfloat16),
        ("StableDiffusion3Pipeline", torch.bfloat16),
        ("StableDiffusionXLPipeline", torch.float16),
        ("StableDiffusionPipeline", torch.float16),
    ],
)
def test_a_family_has_the_dtype_that_it_was_trained_in(family: str, dtype: torch.dtype) -> None:
    index = {"_class_name": family}
    assert _dtype(None, index) is dtype
    assert _dtype(Dtype.FLOAT32, index) is torch.float32


def test_float16_for_a_family_that_it_is_too_narrow_for_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert _dtype(Dtype.FLOAT16, {"_class_name": "FluxPipeline"}) is torch.float16
    assert "too narrow" in capsys.readouterr().out


@pytest.fixture
def cudnn() -> Iterator[None]:
    before = torch.backends.cudnn.benchmark, torch.backends.cudnn.deterministic
    yield
    torch.backends.cudnn.benchmark, torch.backends.cudnn.deterministic = before


@pytest.mark.usefixtures("cudnn")
@pytest.mark.parametrize("deterministic", [True, False])
def test_kernels_are_chosen_by_timing_only_where_the_pool_allows_it(deterministic: bool) -> None:
    pipeline = SimpleNamespace(components={}, to=lambda _: None, set_progress_bar_config=lambda **_: None)
    _settle(pipeline, Device.CUDA, deterministic=deterministic)
    assert torch.backends.cudnn.deterministic is deterministic
    assert torch.backends.cudnn.benchmark is not deterministic
