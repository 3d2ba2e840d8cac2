"""The checker that a base brings along: a pod asks it about each picture, beside the engine."""

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from tests import tiny, tiny_families
from tests.families.checker import add_checker, flag
from tests.runtime.ask import rendered, request
from tests.runtime.fake_cuda import FakeCuda
from tests.runtime.pods import config, eventually, settings, started

from lorapool_api.kinds.base_model import BaseModelSpec, Dtype
from lorapool_api.kinds.runtime import Device, EngineName
from lorapool_api.kinds.serving import Serving
from lorapool_api.kinds.sources import ModelSource
from lorapool_api.wire.reply import ErrorReply
from lorapool_api.wire.state import BasePhase
from lorapool_runtime.engine.diffusers.checker.load import load_checker
from lorapool_runtime.engine.diffusers.checker.own import OwnChecker
from lorapool_runtime.engine.diffusers.device.accelerator import Cpu, Cuda
from lorapool_runtime.engine.diffusers.engine import DiffusersEngine
from lorapool_runtime.engine.diffusers.load import load_engine
from lorapool_runtime.errors import ModelError

pytestmark = pytest.mark.usefixtures("one_thread")
SERVING = {
    "defaults": {"width": tiny.SIZE, "height": tiny.SIZE, "steps": 2},
    "limits": {"pixels": tiny.SIZE**2},
    "maxBatch": 1,
    "safety": {"pipeline": True},
}
UNFIT, FIT = 1, 2  # seeds


def spec(folder: Path) -> BaseModelSpec:
    # Not validated: a temporary folder may have any name.
    return BaseModelSpec(source=ModelSource.model_construct(path=str(folder)), dtype=Dtype.FLOAT32)


def engine_of(folder: Path, **more: Any) -> DiffusersEngine:
    return load_engine(spec(folder), Device.CPU, None, Serving.model_validate(SERVING), **more)


@dataclass(frozen=True)
class CheckedBase:
    """A base, and the pictures that it makes of the two seeds: its checker takes the first for unfit."""

    folder: Path
    pictures: tuple[Image.Image, Image.Image]


@pytest.fixture(scope="module")
def base(one_thread: None, tmp_path_factory: pytest.TempPathFactory) -> CheckedBase:
    folder = tiny_families.make_sd15(tmp_path_factory.mktemp("models") / "sd15")
    model = add_checker(folder)
    engine = engine_of(folder)
    asked = {"prompt": "a circle", "steps": 2, "scheduler": None, "guidance_scale": 7.5}
    unfit, fit = (rendered(engine, request(seed=seed, **asked)).images[0] for seed in (UNFIT, FIT))
    assert engine.flagged([unfit, fit]) == (False, False)
    flag(folder, model, unfit, [fit])
    return CheckedBase(folder, (unfit, fit))


def loaded(folder: Path, accelerator: Cpu | Cuda | None = None) -> OwnChecker:
    return load_checker(folder, str(folder), torch.float32, None, accelerator or Cpu())


async def test_what_it_flags_leaves_no_pod_and_the_rest_does(tmp_path: Path, base: CheckedBase) -> None:
    pool = config(
        tmp_path, engine=EngineName.DIFFUSERS, model=spec(base.folder), serving=Serving.model_validate(SERVING)
    )
    async with started(settings(tmp_path, pool)) as pod:
        await pod.apply()
        await eventually(lambda: pod.runtime.not_ready is None)
        good = await pod.generate(seed=FIT)
        assert good.status_code == 200, good.text
        assert good.json()["warnings"] == []
        refused = await pod.generate(seed=UNFIT)
        both = ErrorReply.model_validate((await pod.generate(seed=UNFIT, images=2)).json())
        checks = [line for line in (await pod.serving.get("/metrics")).text.splitlines() if "checks_total{" in line]
    error = ErrorReply.model_validate(refused.json())
    assert (refused.status_code, error.code, error.retryable) == (422, "ContentRefused", False)
    assert error.message == "the pool's checker refused the picture: not safe for work, by the base's own checker"
    assert both.message.startswith("the pool's checker refused 1 of 2 pictures")
    assert sorted(line.rpartition("{")[2] for line in checks) == ['outcome="refused"} 2.0', 'outcome="safe"} 2.0']


async def test_a_base_that_brings_none_says_so_and_takes_no_requests(tmp_path: Path, base: CheckedBase) -> None:
    plain = Path(shutil.copytree(base.folder, tmp_path / "plain"))
    index = json.loads((plain / "model_index.json").read_text()) | {"safety_checker": [None, None]}
    (plain / "model_index.json").write_text(json.dumps(index))
    pool = config(tmp_path, engine=EngineName.DIFFUSERS, model=spec(plain), serving=Serving.model_validate(SERVING))
    async with started(settings(tmp_path, pool)) as pod:
        await eventually(lambda: pod.runtime.state().base.phase is BasePhase.FAILED)
        state = pod.runtime.state().base
        assert (await pod.generate()).status_code == 503
    assert state.reason == "ModelLoadFailed"
    assert "it brings none (safety_checker and feature_extractor of its model_index.json)" in state.message
    assert "serving.safety.url" in state.message


async def test_the_stub_brings_none(tmp_path: Path) -> None:
    async with started(settings(tmp_path, config(tmp_path, serving=Serving.model_validate(SERVING)))) as pod:
        await eventually(lambda: pod.runtime.state().base.phase is BasePhase.FAILED)
        assert "the stub engine has no base" in pod.runtime.state().base.message


def test_it_judges_as_diffusers_own_pipeline_does(base: CheckedBase) -> None:
    from diffusers import StableDiffusionPipeline

    own = StableDiffusionPipeline.from_pretrained(base.folder)
    pictures = [*base.pictures, Image.new("RGB", (64, 48), (200, 0, 0)), Image.new("L", (8, 8), 255)] * 3
    found = []
    for picture in pictures:
        array = np.asarray(picture.convert("RGB"), np.float32)[None] / 255
        found += own.run_safety_checker(array, torch.device("cpu"), torch.float32)[1]
    assert list(loaded(base.folder).flagged(pictures)) == found
    assert found[:2] == [True, False]


def test_its_weights_leave_the_device_with_the_base_and_it_looks_all_the_same(base: CheckedBase) -> None:
    cuda = FakeCuda(total_bytes=1 << 30)
    engine = engine_of(base.folder, accelerator=Cuda(torch.device("cpu"), cuda))
    checker = engine.parts.checker
    assert checker is not None
    assert checker.model in engine.parts.modules
    before = checker.model.concept_embeds
    engine.sleep(lambda: False)
    assert checker.model.concept_embeds is not before
    assert engine.flagged(base.pictures) == (True, False)
    engine.wake()
    assert engine.flagged(base.pictures) == (True, False)


@contextmanager
def changed(folder: Path, target: Path) -> Iterator[tuple[Path, dict[str, torch.Tensor]]]:
    """A copy of the base whose checker has other tensors."""
    copy = Path(shutil.copytree(folder, target))
    weights = copy / "safety_checker" / "model.safetensors"
    tensors = load_file(weights)
    yield copy, tensors
    save_file(tensors, weights, metadata={"format": "pt"})


def test_one_whose_files_lack_a_tensor_is_refused(tmp_path: Path, base: CheckedBase) -> None:
    with changed(base.folder, tmp_path / "base") as (copy, tensors):
        del tensors["concept_embeds_weights"]
    with pytest.raises(ModelError, match="lack 1 of its tensors, concept_embeds_weights"):
        loaded(copy)


def test_one_whose_numbers_compare_with_nothing_is_refused(tmp_path: Path, base: CheckedBase) -> None:
    with changed(base.folder, tmp_path / "base") as (copy, tensors):
        tensors["concept_embeds"][3, 3] = float("nan")
    with pytest.raises(ModelError, match="not finite"):
        loaded(copy)


def test_pickled_weights_of_it_are_not_loaded(tmp_path: Path, base: CheckedBase) -> None:
    with changed(base.folder, tmp_path / "base") as (copy, _):
        pass
    weights = copy / "safety_checker" / "model.safetensors"
    weights.unlink()
    torch.save({}, weights.with_name("pytorch_model.bin"))
    with pytest.raises(ModelError, match="cannot be loaded"):
        loaded(copy)
