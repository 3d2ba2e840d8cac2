"""The base's own loader: what it makes is what diffusers and transformers make, tensor by tensor."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import DiffusionPipeline, StableDiffusionXLPipeline, UNet2DConditionModel
from safetensors.torch import load_file, save_file
from tests import tiny

from lorapool_api.kinds.base_model import BaseModelSpec, Dtype
from lorapool_api.kinds.runtime import Device
from lorapool_api.kinds.serving import Serving
from lorapool_api.kinds.sources import ModelSource
from lorapool_runtime.engine.contract import no_progress
from lorapool_runtime.engine.diffusers.base.assemble import assemble
from lorapool_runtime.engine.diffusers.base.converted import LoadOptions
from lorapool_runtime.engine.diffusers.base.mapped import MappedFile, files_of
from lorapool_runtime.engine.diffusers.base.pipeline import load_pipeline
from lorapool_runtime.engine.diffusers.load import load_engine
from lorapool_runtime.errors import ModelError

MODULES = ("unet", "vae", "text_encoder", "text_encoder_2")
CPU = torch.device("cpu")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tiny.make_pipeline(tmp_path / "base")


def index(folder: Path) -> dict[str, Any]:
    parsed: dict[str, Any] = json.loads((folder / "model_index.json").read_text())
    return parsed


def spec(folder: Path, dtype: Dtype = Dtype.FLOAT32) -> BaseModelSpec:
    return BaseModelSpec(source=ModelSource.model_construct(hub=None, path=str(folder)), dtype=dtype)


def same(mine: torch.nn.Module, theirs: torch.nn.Module) -> bool:
    """Whether parameters and buffers are the same, their dtypes included."""
    a, b = [{**dict(m.named_parameters()), **dict(m.named_buffers())} for m in (mine, theirs)]
    return a.keys() == b.keys() and all(a[k].dtype == b[k].dtype and torch.equal(a[k], b[k]) for k in a)


@pytest.mark.parametrize("dtype", list(Dtype))
def test_every_module_is_what_from_pretrained_makes(folder: Path, dtype: Dtype) -> None:
    mine = assemble(folder, index(folder), LoadOptions(getattr(torch, dtype.value), CPU), no_progress)
    theirs = DiffusionPipeline.from_pretrained(folder, dtype=getattr(torch, dtype.value))
    assert mine.keys() == set(MODULES)
    for name, module in mine.items():
        assert same(module, getattr(theirs, name)), name
        assert not module.training


def test_an_image_is_what_it_is_with_the_pipeline_of_diffusers(folder: Path) -> None:
    def image(pipeline: Any) -> Any:
        pipeline.unet.requires_grad_(False)
        with torch.inference_mode():
            dice = torch.Generator().manual_seed(3)
            return pipeline("a cat", num_inference_steps=2, generator=dice, output_type="np", width=32, height=32)[0]

    mine = load_pipeline(spec(folder), Device.CPU, no_progress).pipeline
    assert (image(mine) == image(StableDiffusionXLPipeline.from_pretrained(folder))).all()


def test_shards_and_variants_are_found(folder: Path, tmp_path: Path) -> None:
    unet = UNet2DConditionModel.from_pretrained(folder / "unet")
    for variant in (None, "fp16"):
        where = tmp_path / f"sharded-{variant}"
        unet.save_pretrained(where / "unet", max_shard_size="500KB", variant=variant)
        assert len(files_of(where / "unet", "diffusion_pytorch_model", variant)) > 1
        entry = {"unet": ["diffusers", "UNet2DConditionModel"]}
        (found,) = assemble(where, entry, LoadOptions(torch.float32, CPU, variant), no_progress).values()
        assert same(found, unet)


def test_a_text_encoder_of_an_older_transformers_is_understood(folder: Path) -> None:
    """Its tensors begin with `text_model.`, and it stores its positions."""
    path = folder / "text_encoder" / "model.safetensors"
    before = load_file(path)
    old = {f"text_model.{name.removeprefix('text_model.')}": tensor for name, tensor in before.items()}
    old["text_model.embeddings.position_ids"] = torch.arange(77).reshape(1, 77)
    save_file(old, path, {"format": "pt"})
    mine = assemble(folder, index(folder), LoadOptions(torch.float32, CPU), no_progress)
    theirs = DiffusionPipeline.from_pretrained(folder)
    assert same(mine["text_encoder"], theirs.text_encoder)


def test_a_module_whose_file_holds_something_else_is_left_to_its_library(folder: Path) -> None:
    path = folder / "vae" / "diffusion_pytorch_model.safetensors"
    save_file(load_file(path) | {"more": torch.zeros(2)}, path, {"format": "pt"})
    assert assemble(folder, index(folder), LoadOptions(torch.float32, CPU), no_progress).keys() == {*MODULES} - {"vae"}
    assert isinstance(load_pipeline(spec(folder), Device.CPU, no_progress).pipeline, StableDiffusionXLPipeline)


def test_a_file_that_is_cut_off_is_a_model_error_that_names_it(folder: Path) -> None:
    path = folder / "unet" / "diffusion_pytorch_model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ModelError, match=r"unet/diffusion_pytorch_model\.safetensors.*cut off"):
        load_pipeline(spec(folder), Device.CPU, no_progress)


def test_an_index_that_walks_out_of_its_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors.index.json").write_text('{"weight_map": {"a": "../other.safetensors"}}')
    with pytest.raises(ModelError, match="other folders"):
        files_of(tmp_path, "model", None)


def test_writing_to_a_mapped_tensor_never_reaches_the_file(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    save_file({"a": torch.ones(8)}, path)
    before = path.read_bytes()
    MappedFile(path).tensor("a").zero_()
    assert path.read_bytes() == before


def test_progress_grows_to_all_and_the_stages_are_told(folder: Path) -> None:
    shares: list[float] = []
    info = load_engine(spec(folder), Device.CPU, 2**30, Serving(), shares.append, imported_s=1.0).info
    assert shares == sorted(shares)
    assert shares[-1] == 1.0
    assert info.stages_s.keys() == {"import", "files", "load", "warm_up"}
    assert all(seconds >= 0 for seconds in info.stages_s.values())


def test_a_variant_that_the_pool_asks_for_is_loaded(folder: Path) -> None:
    """Files without it are taken where a component has no other."""
    StableDiffusionXLPipeline.from_pretrained(folder).unet.half().save_pretrained(folder / "unet", variant="fp16")
    found = assemble(folder, index(folder), LoadOptions(torch.float16, CPU, "fp16"), no_progress)
    assert found.keys() == set(MODULES)
