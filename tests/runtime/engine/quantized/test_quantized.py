"""A base in fewer bits draws, with every kind of adapter, what the same numbers draw in whole weights."""

import hashlib
import random
import shutil
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from tests import tiny
from tests.runtime.ask import adapter_file, distance, finished, image, read, reference_image, rendered, request
from tests.runtime.conftest import load_reference, make_engine
from tests.runtime.files import EVERY
from torch import nn

from lorapool_api.kinds.base_model import Quantization, QuantizationMethod
from lorapool_api.kinds.serving import ApplyMode
from lorapool_runtime.engine.diffusers.engine import DiffusersEngine
from lorapool_runtime.engine.diffusers.packed.weights import is_packed, plain
from lorapool_runtime.errors import ModelError, Stopped

pytestmark = pytest.mark.filterwarnings("ignore:.*`upcast_vae` is deprecated:FutureWarning")

PACKED = ("unet", "text_encoder", "text_encoder_2")
ROUNDING = 1
SEEN = 25
KINDS = ("lora kohya, mixed ranks, text too", "locon kohya", "dora diffusers", "loha kohya", "lokr peft, full factors")


def packed_engine(model: Path, method: QuantizationMethod, *skip: str) -> DiffusersEngine:
    return make_engine(model, ApplyMode.AUTO, quantization=Quantization(method=method, skip=skip))


@pytest.fixture(scope="module")
def int8(model: Path) -> DiffusersEngine:
    return packed_engine(model, QuantizationMethod.INT8)


@pytest.fixture(params=[QuantizationMethod.FP8, QuantizationMethod.NF4])
def other(model: Path, request: pytest.FixtureRequest) -> DiffusersEngine:
    if request.param is QuantizationMethod.NF4:
        pytest.importorskip("bitsandbytes", reason="not among the packages of a checkout: 3 s more for each process")
    return packed_engine(model, request.param)


def linears(engine: DiffusersEngine) -> Iterator[tuple[str, str, Any]]:
    for component in PACKED:
        for name, module in getattr(engine.parts.pipeline, component).named_modules():
            if isinstance(module, nn.Linear):
                yield component, name, module


def unpacked_reference(engine: DiffusersEngine, model: Path) -> Any:
    """diffusers' own pipeline with the numbers that the packed weights stand for."""
    pipeline = load_reference(model)
    for component, name, module in linears(engine):
        getattr(pipeline, component).get_submodule(name).weight.data = plain(module.weight).clone()
    return pipeline


def digest(engine: DiffusersEngine) -> str:
    """Over the bytes of every packed weight, and all that its numbers follow from."""
    found = hashlib.sha256()
    for component, name, module in linears(engine):
        weight = module.weight
        for part in (weight.qdata, weight.scale):
            found.update(f"{component}.{name}".encode() + part.contiguous().view(torch.uint8).numpy().tobytes())
    return found.hexdigest()


@pytest.mark.parametrize("kind", KINDS)
def test_an_adapter_draws_as_merged_into_the_unpacked_base(
    kind: str, int8: DiffusersEngine, model: Path, tmp_path: Path
) -> None:
    reference = unpacked_reference(int8, model)
    base = reference_image(reference)
    assert distance(image(int8), base) <= ROUNDING
    adapter = read(int8, EVERY[kind](reference, tmp_path))
    with torch.no_grad():
        wanted = reference_image(reference)
    assert distance(wanted, base) > SEEN
    assert distance(image(int8, (adapter, 1.0)), wanted) <= ROUNDING


def test_other_methods_draw_as_the_unpacked_base(other: DiffusersEngine, model: Path, tmp_path: Path) -> None:
    reference = unpacked_reference(other, model)
    assert distance(image(other), reference_image(reference)) <= ROUNDING
    changes = tiny.make_changes(reference, tiny.attention_modules(reference) + tiny.convolutions(reference))
    adapter = read(other, tiny.write_kohya(tmp_path / "a.safetensors", changes))
    tiny.merge(reference, [(changes, 0.8)])
    assert distance(image(other, (adapter, 0.8)), reference_image(reference)) <= ROUNDING
    assert other.parts.board.merged_bytes == 0


def test_packed_weights_take_a_quarter_of_float32_and_are_never_written(
    int8: DiffusersEngine, model: Path, tmp_path: Path
) -> None:
    packed = [module.weight for _, _, module in linears(int8)]
    assert all(is_packed(weight) for weight in packed)
    assert all(w.qdata.element_size() * w.qdata.numel() == w.numel() for w in packed)
    before, weights = image(int8, steps=1), digest(int8)
    adapters = [
        int8.read(adapter_file(EVERY[kind](load_reference(model), tmp_path / str(i)))) for i, kind in enumerate(KINDS)
    ]
    dice = random.Random(3)  # noqa: S311 -- a test wants the same numbers each time
    for _ in range(60):
        # Nothing is drawn: what runs before the first step is the switch.
        with pytest.raises(Stopped):
            rendered(int8, replace(request((dice.choice(adapters), dice.uniform(-2, 2))), stop=lambda: True))
    assert digest(int8) == weights
    assert (image(int8, steps=1) == before).all()


def test_rows_of_a_batch_have_adapters_of_their_own(int8: DiffusersEngine, reference: Any, tmp_path: Path) -> None:
    changes = [tiny.make_changes(reference, tiny.attention_modules(reference)[:40], seed=seed) for seed in (1, 2)]
    adapters = [read(int8, tiny.write_kohya(tmp_path / f"{i}.safetensors", c)) for i, c in enumerate(changes)]
    together: Any = finished(int8.render([request((adapter, 1.0)) for adapter in adapters]))
    for adapter, result in zip(adapters, together, strict=True):
        assert result.rows == 2
        assert distance(np.asarray(result.images[0]), image(int8, (adapter, 1.0))) <= ROUNDING


def test_what_is_to_be_skipped_stays(model: Path) -> None:
    engine = packed_engine(model, QuantizationMethod.INT8, "text_encoder", "unet.time_embedding")
    whole = {f"{component}.{name}" for component, name, module in linears(engine) if not is_packed(module.weight)}
    assert {"unet.time_embedding.linear_1", "text_encoder.encoder.layers.0.mlp.fc1"} <= {
        name.replace("text_model.", "") for name in whole
    }
    assert all(name.startswith(("text_encoder.", "unet.time_embedding.")) for name in whole)


def test_a_name_to_skip_that_the_base_lacks_is_a_model_error(model: Path) -> None:
    with pytest.raises(ModelError, match=r"skip names unet\.nowhere, which the base does not have"):
        packed_engine(model, QuantizationMethod.INT8, "unet.nowhere")


def test_what_merges_everything_has_no_packed_base(model: Path) -> None:
    with pytest.raises(ModelError, match=r"serving\.mode Merged needs whole weights: take Auto or Unmerged"):
        make_engine(model, ApplyMode.MERGED, quantization=Quantization(method=QuantizationMethod.INT8))


def test_a_method_whose_library_is_missing_says_which(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "bitsandbytes.nn", None)
    with pytest.raises(ModelError, match=r"nf4 needs bitsandbytes.*lorapool.quantized"):
        packed_engine(model, QuantizationMethod.NF4)


def test_a_component_that_its_own_library_loads_is_packed_too(model: Path, tmp_path: Path) -> None:
    folder = tmp_path / "base"
    shutil.copytree(model, folder)
    path = folder / "unet" / "diffusion_pytorch_model.safetensors"
    save_file(load_file(path) | {"more": torch.zeros(2)}, path, {"format": "pt"})
    engine = packed_engine(folder, QuantizationMethod.INT8)
    assert all(is_packed(module.weight) for component, _, module in linears(engine) if component == "unet")
