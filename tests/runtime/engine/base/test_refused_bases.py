"""Bases that cannot be loaded say why."""

import json
from pathlib import Path

import pytest
import torch
from tests.runtime.conftest import make_engine

from lorapool_runtime.errors import ModelError


def copied(model: Path, target: Path) -> Path:
    """The pipeline with its files linked, so that a test can break one."""
    for source in model.rglob("*"):
        if source.is_file():
            link = target / source.relative_to(model)
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(source)
    return target


def load_error(model: Path) -> str:
    with pytest.raises(ModelError) as error:
        make_engine(model)
    return str(error.value)


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    assert f"{tmp_path / 'none'} does not exist in the pod" in load_error(tmp_path / "none")


def test_a_folder_without_a_pipeline_says_so(tmp_path: Path) -> None:
    assert "it holds no model_index.json" in load_error(tmp_path)


def test_pickled_weights_are_not_loaded(model: Path, tmp_path: Path) -> None:
    broken = copied(model, tmp_path / "model")
    weights = broken / "unet" / "diffusion_pytorch_model.safetensors"
    weights.unlink()
    torch.save({}, weights.with_suffix(".bin"))
    assert "safetensors" in load_error(broken)


def test_truncated_weights_are_explained(model: Path, tmp_path: Path) -> None:
    broken = copied(model, tmp_path / "model")
    weights = broken / "unet" / "diffusion_pytorch_model.safetensors"
    content = weights.read_bytes()
    weights.unlink()
    weights.write_bytes(content[: len(content) // 2])
    assert "unet/diffusion_pytorch_model.safetensors: the file is cut off" in load_error(broken)


def test_code_that_comes_with_a_model_is_never_run(model: Path, tmp_path: Path) -> None:
    broken = copied(model, tmp_path / "model")
    index = json.loads((broken / "model_index.json").read_text())
    (broken / "model_index.json").unlink()
    (broken / "model_index.json").write_text(json.dumps(index | {"unet": ["evil", "Evil"]}))
    (broken / "unet" / "evil.py").write_text("raise SystemExit('ran')")
    assert "code of a model is never run" in load_error(broken)


def test_the_same_folder_elsewhere_has_the_same_revision(model: Path, tmp_path: Path) -> None:
    from lorapool_runtime.engine.files.revision import folder_revision

    other = copied(model, tmp_path / "elsewhere")
    assert folder_revision(other) == folder_revision(model)
    (other / "unet" / "config.json").unlink()
    assert folder_revision(other) != folder_revision(model)
