"""What a text encoder that looks at pictures is given, where torchvision is not installed."""

import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from tests.families.own import picture
from tests.families.table import TINY

from lorapool_api.kinds.base_model import BaseModelSpec, Dtype
from lorapool_api.kinds.runtime import Device
from lorapool_api.kinds.sources import ModelSource
from lorapool_runtime.engine.contract import no_progress
from lorapool_runtime.engine.diffusers.base.pipeline import load_pipeline
from lorapool_runtime.engine.diffusers.families.processor import PROCESSORS, load_processor
from lorapool_runtime.errors import ModelError

SEEN = "<|vision_start|><|image_pad|><|vision_end|>"
# A patch has 14 pixels a side; four of them become one token.
PATCHES, TOKEN_SIDE = 4, 28


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return TINY["Qwen-Image-Edit"].make(tmp_path / "model")


@pytest.fixture(params=PROCESSORS)
def processor(folder: Path, request: pytest.FixtureRequest) -> Any:
    return load_processor(folder / "processor", request.param)


def test_each_picture_of_a_prompt_gets_as_many_tokens_as_it_has_patches(processor: Any) -> None:
    sizes = [(4, 2), (3, 3)]
    pictures = [picture(100).resize((width * TOKEN_SIDE, height * TOKEN_SIDE)) for width, height in sizes]
    made = processor(text=[f"{SEEN}{SEEN}a circle"], images=pictures, return_tensors="pt")
    assert made["image_grid_thw"].tolist() == [[1, 2 * height, 2 * width] for width, height in sizes]
    tokens = sum(width * height for width, height in sizes)
    assert (made["input_ids"] == processor.image_token_id).sum() == tokens
    assert len(made["pixel_values"]) == tokens * PATCHES


def test_a_picture_is_told_from_another(processor: Any) -> None:
    black, white = (Image.new("RGB", (TOKEN_SIDE, TOKEN_SIDE), colour) for colour in ("black", "white"))
    dark, light = (processor(text=[SEEN], images=[p], return_tensors="pt")["pixel_values"] for p in (black, white))
    assert dark.max() < 0 < light.min()


def test_a_base_without_its_processor_is_refused_by_what_is_missing(folder: Path) -> None:
    (folder / "processor" / "preprocessor_config.json").unlink(missing_ok=True)
    (folder / "processor" / "processor_config.json").unlink(missing_ok=True)
    assert json.loads((folder / "model_index.json").read_text())["processor"]
    spec = BaseModelSpec(source=ModelSource.model_construct(path=str(folder)), dtype=Dtype.FLOAT32)
    with pytest.raises(ModelError, match="processor holds no processor that can be read"):
        load_pipeline(spec, Device.CPU, no_progress)
