"""The dtype of a base that the pool says nothing about, and how exact its kernels are asked to be."""

from collections.abc import Iterator

import pytest
import torch

from lorapool_api.kinds.base_model import Dtype
from lorapool_api.kinds.serving import Serving
from lorapool_runtime.engine.diffusers.base.by_family import dtype_of
from lorapool_runtime.engine.diffusers.families.find import family_of
from lorapool_runtime.engine.diffusers.rounding import set_rounding


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
    found = family_of({"_class_name": family}, {})
    assert found is not None
    assert dtype_of(None, found) is dtype
    assert dtype_of(Dtype.FLOAT32, found) is torch.float32


def test_float16_for_a_family_that_it_is_too_narrow_for_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    flux = family_of({"_class_name": "FluxPipeline"}, {})
    assert flux is not None
    assert dtype_of(Dtype.FLOAT16, flux) is torch.float16
    assert "too narrow" in capsys.readouterr().out


@pytest.fixture
def cudnn() -> Iterator[None]:
    before = torch.backends.cudnn.benchmark, torch.backends.cudnn.deterministic
    yield
    torch.backends.cudnn.benchmark, torch.backends.cudnn.deterministic = before


@pytest.mark.usefixtures("cudnn")
@pytest.mark.parametrize("deterministic", [True, False])
def test_kernels_are_chosen_by_timing_only_where_the_pool_allows_it(deterministic: bool) -> None:
    set_rounding(Serving(deterministic=deterministic))
    assert torch.backends.cudnn.deterministic is deterministic
    assert torch.backends.cudnn.benchmark is not deterministic
