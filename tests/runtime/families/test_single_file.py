"""A checkpoint in one file draws what the pipeline's folder draws, with nothing asked of the network."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from diffusers import StableDiffusionPipeline
from safetensors.torch import load_file, save_file
from tests.families import single_file
from tests.runtime.ask import image
from tests.runtime.conftest import make_engine
from tests.runtime.families.conftest import Served

from lorapool_api.kinds.sources import ModelSource
from lorapool_runtime.errors import ModelError

Serve = Callable[[str], Served]


def at(folder: Path) -> dict[str, Any]:
    # Not validated: a temporary folder may have any name.
    return {"config": ModelSource.model_construct(hub=None, path=str(folder))}


@pytest.fixture
def checkpoint(serve: Serve, tmp_path: Path) -> Path:
    pipeline = StableDiffusionPipeline.from_pretrained(serve("SD 1.x").folder, safety_checker=None)
    return single_file.write(tmp_path / "checkpoint.safetensors", pipeline)


def test_a_checkpoint_draws_what_the_folder_draws(serve: Serve, checkpoint: Path, tmp_path: Path) -> None:
    served = serve("SD 1.x")
    config = single_file.configuration_of(served.folder, tmp_path / "config")
    engine = make_engine(checkpoint, **at(config))
    assert (image(engine) == image(served.engine)).all()
    assert engine.info.modules == served.engine.info.modules
    assert engine.info.size_bytes == checkpoint.stat().st_size
    assert engine.info.revision != served.engine.info.revision


def test_a_checkpoint_without_its_configuration_says_what_to_name(checkpoint: Path) -> None:
    with pytest.raises(ModelError, match=r"is one file: name a pipeline of its family in model\.config"):
        make_engine(checkpoint)


def test_what_neither_file_nor_configuration_has_is_said(serve: Serve, checkpoint: Path, tmp_path: Path) -> None:
    config = single_file.configuration_of(serve("SD 1.x").folder, tmp_path / "config")
    kept = {n: t for n, t in load_file(checkpoint).items() if not n.startswith("cond_stage_model.")}
    partial = tmp_path / "partial.safetensors"
    save_file(kept, partial)
    with pytest.raises(ModelError, match="lacks a component"):
        make_engine(partial, **at(config))


def test_a_file_of_another_family_than_its_configuration_is_refused(
    serve: Serve, checkpoint: Path, tmp_path: Path
) -> None:
    config = single_file.configuration_of(serve("SDXL").folder, tmp_path / "config")
    with pytest.raises(ModelError):
        make_engine(checkpoint, **at(config))
