"""Bases that come quantized: loaded as their library loads them, or refused by the name of what did it."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import TorchAoConfig, UNet2DConditionModel
from tests import tiny
from tests.runtime.ask import distance, image, read, reference_image
from tests.runtime.conftest import load_reference, make_engine
from torch import nn
from torchao.quantization import Int8WeightOnlyConfig

from lorapool_api.kinds.base_model import Dtype, Quantization, QuantizationMethod
from lorapool_api.kinds.serving import ApplyMode
from lorapool_runtime.engine.diffusers.packed.weights import is_packed, plain
from lorapool_runtime.errors import ModelError

ROUNDING = 1


def with_stored(model: Path, folder: Path, **stored: Any) -> Path:
    """The base, its UNet said to be quantized so."""
    shutil.copytree(model, folder)
    config = folder / "unet" / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"quantization_config": stored}))
    return folder


@pytest.fixture(scope="module")
def stored(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The base with a UNet that torchao has quantized, as `save_pretrained` writes it."""
    folder = tmp_path_factory.mktemp("stored") / "base"
    shutil.copytree(model, folder)
    config = TorchAoConfig(Int8WeightOnlyConfig())
    unet = UNet2DConditionModel.from_pretrained(model / "unet", quantization_config=config, dtype=torch.float32)
    shutil.rmtree(folder / "unet")
    unet.save_pretrained(folder / "unet")
    return folder


def test_an_adapter_draws_as_merged_into_the_unpacked_base(stored: Path, model: Path, tmp_path: Path) -> None:
    engine = make_engine(stored, ApplyMode.AUTO)
    reference = load_reference(model)
    packed = 0
    for name, module in engine.parts.pipeline.unet.named_modules():
        if isinstance(module, nn.Linear):
            packed += is_packed(module.weight)
            reference.unet.get_submodule(name).weight.data = plain(module.weight).clone()
    assert packed > 100
    assert distance(image(engine), reference_image(reference)) <= ROUNDING
    changes = tiny.make_changes(reference, tiny.attention_modules(reference))
    adapter = read(engine, tiny.write_kohya(tmp_path / "a.safetensors", changes))
    tiny.merge(reference, [(changes, 0.8)])
    assert distance(image(engine, (adapter, 0.8)), reference_image(reference)) <= ROUNDING


def test_another_dtype_than_it_was_quantized_from_is_refused(stored: Path) -> None:
    with pytest.raises(ModelError, match=r"unet was quantized from float32: model\.dtype must be float32"):
        make_engine(stored, ApplyMode.AUTO, Dtype.BFLOAT16)


def test_it_is_not_quantized_again(stored: Path) -> None:
    with pytest.raises(ModelError, match=r"unet comes quantized: model\.quantization\.skip must name it"):
        make_engine(stored, ApplyMode.AUTO, quantization=Quantization(method=QuantizationMethod.INT8))


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"quant_method": "nunchaku_lite"}, "unet comes quantized by 'nunchaku_lite', which is not loaded"),
        ({"quant_method": "gguf"}, "'gguf', which is not loaded"),
        ({"quant_method": "bitsandbytes", "load_in_8bit": True}, "'bitsandbytes', which is not loaded"),
        ({}, "'None', which is not loaded"),
    ],
)
def test_what_is_not_loaded_is_refused_by_name(config: dict[str, Any], words: str, model: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=words):
        make_engine(with_stored(model, tmp_path / "base", **config))
