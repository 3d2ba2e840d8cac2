"""The tiny pipeline and an engine on it, made once: no test may change either.

torch and diffusers are imported by the fixtures: importing them takes longer than most tests here.
"""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from tests.runtime.stores import CONTENT
from tests.web import Reply, Web, serving

from lorapool_api.kinds.base_model import BaseModelSpec, Dtype
from lorapool_api.kinds.runtime import Device
from lorapool_api.kinds.serving import ApplyMode, Serving, ServingDefaults
from lorapool_api.kinds.sources import ModelSource
from lorapool_api.kinds.speed.step_cache import StepCache
from lorapool_runtime.engine.contract import BaseInfo

if TYPE_CHECKING:
    from lorapool_runtime.engine.diffusers.device.accelerator import Accelerator
    from lorapool_runtime.engine.diffusers.device.batching import Batching
    from lorapool_runtime.engine.diffusers.device.costs import Costs
    from lorapool_runtime.engine.diffusers.engine import DiffusersEngine
    from lorapool_runtime.engine.diffusers.layers.merged import Merge


@pytest.fixture(scope="session")
def one_thread() -> Iterator[None]:
    """The machine is shared, and sums in one thread have one order."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def model(one_thread: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    from tests import tiny

    return tiny.make_pipeline(tmp_path_factory.mktemp("models") / "tiny-xl")


def load_reference(model: Path) -> Any:
    """The pipeline as diffusers itself loads it."""
    from diffusers import StableDiffusionXLPipeline

    pipeline = StableDiffusionXLPipeline.from_pretrained(model, add_watermarker=False)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


@pytest.fixture
def reference(model: Path) -> Any:
    return load_reference(model)


@pytest.fixture(scope="session")
def loaded(model: Path) -> "tuple[DiffusersEngine, BaseInfo]":
    engine = make_engine(model)
    return engine, engine.info


@pytest.fixture
def engine(loaded: "tuple[DiffusersEngine, BaseInfo]") -> "DiffusersEngine":
    return loaded[0]


def make_engine(
    model: Path,
    mode: ApplyMode = ApplyMode.UNMERGED,
    dtype: Dtype = Dtype.FLOAT32,
    max_batch: int = 1,
    accelerator: "Accelerator | None" = None,
    step_cache: StepCache | None = None,
    **options: Any,
) -> "DiffusersEngine":
    from tests import tiny

    from lorapool_runtime.engine.diffusers.load import load_engine

    usual = ServingDefaults(width=tiny.SIZE, height=tiny.SIZE)
    serving = Serving(mode=mode, max_batch=max_batch, defaults=usual, step_cache=step_cache)
    # Not validated: a temporary folder may have any name.
    source = ModelSource.model_construct(path=str(model))
    spec = BaseModelSpec(source=source, dtype=dtype, **options)
    return load_engine(spec, Device.CPU, 2**30, serving, accelerator=accelerator)


def measured_as(
    engine: "DiffusersEngine",
    *,
    costs: "Costs | None" = None,
    batching: "Batching | None" = None,
    bound_bytes: int = 2**30,
    merge: "Merge | None" = None,
) -> "DiffusersEngine":
    """Another engine on the same base, as if its warm-up had found this; `merge` computes its merged weights."""
    from lorapool_runtime.engine.diffusers.device.batching import Batching
    from lorapool_runtime.engine.diffusers.device.warm_up import Measured
    from lorapool_runtime.engine.diffusers.engine import DiffusersEngine
    from lorapool_runtime.engine.diffusers.layers.switchboard import Switchboard

    parts = engine.parts
    if merge is not None:
        parts.board.clear()
        modules = {name: getattr(parts.pipeline, name) for name in parts.board.components}
        parts = replace(parts, board=Switchboard(modules, merge))
    return DiffusersEngine(parts, engine.info, Measured(costs, batching or Batching()), bound_bytes)


@pytest.fixture
def web() -> Iterator[Web]:
    """A server with an adapter."""
    with serving() as server:
        server.answers["/a.safetensors"] = Reply(body=CONTENT)
        yield server


@pytest.fixture
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is kept between trainings is kept for one test."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
