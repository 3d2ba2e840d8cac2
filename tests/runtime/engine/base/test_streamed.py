"""A base that is streamed: the same numbers as of files that are mapped."""

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from lorapool_api.kinds.base_model import BaseModelSpec, Dtype, Loading
from lorapool_api.kinds.runtime import Device
from lorapool_api.kinds.sources import ModelSource
from lorapool_runtime.engine.contract import no_progress
from lorapool_runtime.engine.diffusers.base.converted import LoadOptions, converting, sources
from lorapool_runtime.engine.diffusers.base.mapped import MappedFile
from lorapool_runtime.engine.diffusers.base.pipeline import load_pipeline
from lorapool_runtime.engine.diffusers.base.streamed.streamer import streaming
from lorapool_runtime.errors import ModelError

pytestmark = pytest.mark.skipif(find_spec("runai_model_streamer") is None, reason="runai-model-streamer is not there")
CPU = torch.device("cpu")


def write(folder: Path) -> list[MappedFile]:
    """Two shards, and a file of another component with a name that one of them has too."""
    torch.manual_seed(0)
    shards = {
        "one": {"w": torch.randn(300, 200), "half": torch.randn(7).half(), "none": torch.empty(0, 4)},
        "two": {"brain": torch.randn(5, 3).bfloat16(), "count": torch.arange(9), "scalar": torch.tensor(2.5)},
        "other": {"w": torch.randn(3, 3)},
    }
    for name, tensors in shards.items():
        save_file(tensors, folder / f"{name}.safetensors")
    return [MappedFile(folder / f"{name}.safetensors") for name in shards]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_each_tensor_is_bit_by_bit_that_of_the_mapped_file(tmp_path: Path, dtype: torch.dtype) -> None:
    wanted = [source for file in write(tmp_path) for source in sources([file]).values()]
    target, shares = LoadOptions(dtype, CPU), list[float]()
    with converting(wanted, target, no_progress) as mapped, streaming(wanted, target, shares.append) as streamed:
        for source in wanted:
            theirs, ours = mapped(source), streamed(source)
            assert (ours.dtype, ours.shape) == (theirs.dtype, theirs.shape), source.name
            assert torch.equal(ours.view(-1).view(torch.uint8), theirs.view(-1).view(torch.uint8)), source.name
    assert shares == sorted(shares)
    assert shares[-1] == 1


def test_a_file_that_is_gone_meanwhile_is_an_error_of_the_model(tmp_path: Path) -> None:
    files = write(tmp_path)
    (tmp_path / "one.safetensors").unlink()
    wanted = list(sources(files[:1]).values())
    with streaming(wanted, LoadOptions(torch.float32, CPU), no_progress) as streamed, pytest.raises(ModelError):
        streamed(wanted[0])


def test_a_device_that_is_full_is_told_as_it_says_it(tmp_path: Path) -> None:
    wanted = list(sources(write(tmp_path)[:1]).values())

    def full(share: float) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    with streaming(wanted, LoadOptions(torch.float32, CPU), full) as streamed, pytest.raises(torch.OutOfMemoryError):
        [streamed(source) for source in wanted]


def test_a_base_that_is_streamed_is_that_which_is_mapped(model: Path) -> None:
    def loaded(loading: Loading) -> dict[str, Any]:
        source = ModelSource.model_construct(path=str(model))
        spec = BaseModelSpec(source=source, dtype=Dtype.FLOAT32, loading=loading)
        pipeline = load_pipeline(spec, Device.CPU, no_progress).pipeline
        modules = {n: c for n, c in pipeline.components.items() if isinstance(c, torch.nn.Module)}
        return {f"{n}.{k}": v for n, module in modules.items() for k, v in module.state_dict().items()}

    mapped, streamed = loaded(Loading.MAPPED), loaded(Loading.STREAMED)
    assert mapped.keys() == streamed.keys()
    assert all(torch.equal(streamed[name], value) for name, value in mapped.items())
