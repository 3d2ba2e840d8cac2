"""The adapters that come with the project are read for their architecture, every one of them."""

from pathlib import Path
from typing import Any

import pytest
import torch
from tests.runtime.ask import adapter_file

from lorapool_api.lora.fit import check_fits
from lorapool_api.lora.layouts.keys import flat_name
from lorapool_models.base import architecture
from lorapool_runtime.engine.diffusers.layers.embeddings import TokenEmbeddings
from lorapool_runtime.engine.diffusers.layers.switchboard import Switchboard
from lorapool_runtime.engine.diffusers.weights.embeddings import Widths
from lorapool_runtime.engine.diffusers.weights.read import read_adapter

FOLDERS = sorted(
    f for f in (Path(__file__).parents[3] / "models/weights/adapters").iterdir() if (f / "README.md").exists()
)
EMBEDDINGS = "embeddings.safetensors"


@pytest.fixture(scope="module")
def pipeline(one_thread: None, tmp_path_factory: pytest.TempPathFactory) -> Any:
    return architecture.make(tmp_path_factory.mktemp("base"), 0)


@pytest.fixture(scope="module")
def board(pipeline: Any) -> Switchboard:
    return Switchboard({name: getattr(pipeline, name) for name in ("unet", "text_encoder", "text_encoder_2")})


@pytest.fixture(scope="module")
def widths(pipeline: Any) -> Widths:
    return TokenEmbeddings(pipeline).widths


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_one_is_read(folder: Path, board: Switchboard, widths: Widths) -> None:
    (path,) = (f for f in folder.glob("*.safetensors") if f.name != EMBEDDINGS)
    file = adapter_file(path)
    check_fits(file.facts, board.modules())
    adapter = read_adapter(file, board, torch.float32, widths=widths)
    named = {(t.component, flat_name(t.module)) for t in file.facts.targets}
    assert {(slot.target.component, flat_name(slot.target.name)) for slot in adapter.slots} == named
    assert bool(adapter.embeddings) is (folder / EMBEDDINGS).exists()
