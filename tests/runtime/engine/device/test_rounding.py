"""What a pool lets torch round, and what it does to pictures where a CPU shows it."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from tests import tiny
from tests.runtime.ask import adapter_file, distance, image
from tests.runtime.conftest import load_reference
from tests.runtime.files import EVERY

from lorapool_api.kinds.base_model import BaseModelSpec, Dtype
from lorapool_api.kinds.runtime import Device
from lorapool_api.kinds.serving import ApplyMode, Serving, ServingDefaults
from lorapool_api.kinds.sources import ModelSource
from lorapool_api.kinds.speed.rounding import TorchOptions
from lorapool_runtime.engine.diffusers.engine import DiffusersEngine
from lorapool_runtime.engine.diffusers.load import load_engine
from lorapool_runtime.engine.diffusers.rounding import set_rounding

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(autouse=True)
def exact_again() -> Iterator[None]:
    yield
    set_rounding(Serving())


def flags() -> tuple[bool, ...]:
    matmul, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
    return (
        cudnn.allow_tf32,
        matmul.allow_tf32,
        bool(matmul.allow_fp16_reduced_precision_reduction),
        bool(matmul.allow_bf16_reduced_precision_reduction),
        cudnn.benchmark,
        not cudnn.deterministic,
    )


def load(model: Path, **serving: object) -> DiffusersEngine:
    usual = ServingDefaults(width=tiny.SIZE, height=tiny.SIZE)
    spec = BaseModelSpec(source=ModelSource.model_construct(path=str(model)), dtype=Dtype.FLOAT32)
    asked = Serving.model_validate({"defaults": usual, **serving})
    return load_engine(spec, Device.CPU, 2**30, asked)


def test_what_a_pool_allows_is_set_when_its_base_is_loaded_and_nothing_else(model: Path) -> None:
    load(model, torch=TorchOptions(allow_tf32=True))
    assert flags() == (True, True, False, False, False, False)
    load(model, torch=TorchOptions(reduced_precision_reduction=True), deterministic=False)
    assert flags() == (False, False, True, True, True, True)
    load(model)
    assert flags() == (False,) * 6


@pytest.mark.parametrize("kind", ["lora peft, all modules", "loha kohya"])
@pytest.mark.parametrize("mode", [ApplyMode.UNMERGED, ApplyMode.AUTO])
def test_channels_beside_each_other_make_the_same_picture_to_rounding(
    model: Path, tmp_path: Path, kind: str, mode: ApplyMode
) -> None:
    plain, ordered = load(model, mode=mode), load(model, mode=mode, torch=TorchOptions(channels_last=True))
    weight = ordered.parts.pipeline.unet.conv_in.weight
    assert weight.is_contiguous(memory_format=torch.channels_last)
    assert not weight.is_contiguous()
    file = adapter_file(EVERY[kind](load_reference(model), tmp_path / "adapter"))
    bare = image(ordered)
    for engine in (plain, ordered):
        assert distance(image(engine, (engine.read(file), 1.0)), image(engine)) > 20
    adapted = [image(engine, (engine.read(file), 1.0)) for engine in (plain, ordered)]
    assert distance(*adapted) <= 1
    assert (image(ordered) == bare).all()
